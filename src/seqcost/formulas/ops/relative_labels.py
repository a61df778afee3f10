"""Scores of the label of a pair (Shaw et al. 2018, with the biases of ETC's code), on a tape.

Twin of `layers.ops.relative_labels`. All labels are scored for each query in one product, then looked up pair by pair.
"""

from seqcost.algebra import Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import ID_BYTES
from seqcost.formulas.ops.pieces import gathered


def distances(t: Tape, name: str, rows: Size, columns: Size, more: Size) -> Value:
    """Labels [rows, columns + more] by clipped distance; the further columns have a label of their own."""
    ends = [t.constant(name, size, operator="arange", itemsize=ID_BYTES) for size in (columns, rows)]
    pairs = rows * columns
    apart = t.kernel(
        name, Kernel.ELEMENTWISE, ends, (rows, columns), operator="sub", pointwise=pairs, itemsize=ID_BYTES
    )
    t.launch(name, Kernel.ELEMENTWISE, [apart], [], operator="clamp", into=apart, pointwise=pairs, note="clipped")
    return t.pad(name, apart, rows, columns + more, note="the label of each pair")


def label_scores(t: Tape, name: str, q: Value, B: Size, H: Size, labels: Size) -> Value:
    """(q a + u)/√K for every label: q [B·H,Q,K], scaled already → [B·H,Q,labels]."""
    Z, Q, K = q.shape
    vectors = t.expand(f"{name}_vectors", t.transpose(t.weight(labels, H, K), 1, 2, 0), B, H, K, labels)
    vectors = t.copy(f"{name}_vectors", vectors, note="a, for each sequence")
    biases = t.unary(f"{name}_biases", t.weight(labels, H), "scale", note="u/√K")
    biases = t.view(t.transpose(biases, 1, 0), H, ONE, labels)
    scores = t.add(
        f"{name}_sums",
        t.view(t.matmul(f"{name}_products", q, t.view(vectors, Z, K, labels), note="q a: all labels"), B, H, Q, labels),
        biases,
        note="q a + u",
    )
    return t.view(scores, Z, Q, labels)


def labelled(t: Tape, name: str, scores: Value, labels: Value, *shape: Size) -> Value:
    """The score of each pair's label [rows, columns], broadcast to `shape`, whose last axis is that of the keys."""
    each = t.view(labels, *[ONE] * (len(shape) - 2), *labels.shape)
    return gathered(
        t, name, t.view(scores, *shape[:-1], scores.shape[-1]), t.expand(name, each, *shape), "looked up pair by pair"
    )
