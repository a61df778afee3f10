"""Fused attention on a tape: `scaled_dot_product_attention`, tile by tile, scores never written."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from seqcost.algebra import Size
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value, product


def fused_attention(
    t: Tape, name: str, q: Value, k: Value, v: Value, mask: Value | None = None, note: str = "", pairs: Size = None
) -> Value:
    """softmax(q kᵀ/√K + mask) v of q [Z,H,Q,K], k and v [Z,G,S,K]: two products forward, five backward.

    Autograd keeps q, k, v, the mask, the result, and the logarithm of each row's sum, in float32 at least. The mask
    takes no gradient and may be broadcast; it adds one operation a score. `pairs` of queries and keys are counted, all
    of them where not given.
    """
    *batch, Q, K = q.shape
    S, V = v.shape[-2:]
    if pairs is None:
        pairs = product(batch) * Q * S
    masked = int(mask is not None)

    def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
        yield Operator(name=f"{name}_scores_again", contraction=2 * pairs * K, note="q kᵀ recomputed")
        yield Operator(name=f"{name}_da", contraction=2 * pairs * V, note="g vᵀ")
        yield Operator(name=f"{name}_dv", contraction=2 * pairs * V, note="aᵀ g")
        softmax = (pointwise.ATTENTION_BACKWARD + masked) * pairs
        yield Operator(name=f"{name}_softmax", pointwise=softmax, note="softmax")
        yield Operator(name=f"{name}_dq", contraction=2 * pairs * K, note="g k")
        yield Operator(name=f"{name}_dk", contraction=2 * pairs * K, note="gᵀ q")

    inputs = [q, k, v] if mask is None else [q, k, v, mask]
    y = t.operator(
        name, inputs, (*batch, Q, V), contraction=2 * pairs * (K + V), pointwise=(pointwise.ATTENTION + masked) * pairs,
        backward=backward, keeps=[(value, None) for value in inputs], keeps_result=True,
        note=note or "q kᵀ, softmax and its product with v, tile by tile",
    )  # fmt: skip
    rows, itemsize = product(batch) * Q, t.run.state_itemsize
    written = t.operators[-1]
    t.operators[-1] = replace(written, other_bytes=written.other_bytes + rows * itemsize)
    if y.needs_gradient:
        t.keep_besides(f"{name}_logsumexp", rows, itemsize)
    return y
