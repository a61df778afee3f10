"""Scores of the label of a pair (Shaw et al. 2018, with the biases of ETC's code), on a tape.

Twin of `layers.ops.relative_labels`. All labels are scored for each query in one product, then looked up pair by pair.
"""

from seqcost.algebra import Size
from seqcost.formulas.core.operator import ID_BYTES, Operator
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value, product


def distances(t: Tape, name: str, rows: Size, columns: Size, more: Size) -> Value:
    """Labels [rows, columns + more] by clipped distance; the further columns have a label of their own."""
    ends = [t.constant(name, size, itemsize=ID_BYTES) for size in (columns, rows)]
    apart = t.operator(name, ends, (rows, columns), pointwise=rows * columns, itemsize=ID_BYTES)
    clipped = t.operator(name, [apart], (rows, columns), pointwise=rows * columns, itemsize=ID_BYTES)
    return t.moved(name, [clipped], rows, columns + more, note="the label of each pair")


def label_scores(t: Tape, name: str, q: Value, B: Size, H: Size, labels: Size) -> Value:
    """(q a + u)/√K for every label: q [B·H,Q,K], scaled already → [B·H,Q,labels]."""
    Z, Q, K = q.shape
    vectors = t.expand(f"{name}_vectors", t.weight(labels, H, K), B, H, K, labels)
    vectors = t.moved(f"{name}_vectors", [vectors], Z, K, labels, note="a, for each sequence")
    scores = t.matmul(f"{name}_products", q, vectors, note="q a: all labels")
    biases = t.unary(f"{name}_biases", t.weight(labels, H), "scale", note="u/√K")
    scores = t.add(f"{name}_sums", t.view(scores, B, H, Q, labels), t.view(biases, H, ONE, labels), note="q a + u")
    return t.view(scores, Z, Q, labels)


def labelled(t: Tape, name: str, scores: Value, labels: Value, *shape: Size) -> Value:
    """The score of each pair's label: `gather`; backward they are added a label."""
    n = product(shape)
    return t.operator(
        name, [scores, labels], shape, reads=[n, labels.elements], keeps=[(scores, 0), (labels, 0)],
        note="looked up pair by pair",
        backward=lambda _: [Operator(name=f"{name}_backward", pointwise=n, note="added a label")],
    )  # fmt: skip
