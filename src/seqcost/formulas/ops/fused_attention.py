"""Fused attention on a tape: `scaled_dot_product_attention`, tile by tile, scores never written."""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.buffers import attention_backward_bytes, attention_bytes
from seqcost.formulas.core.layout import tidied
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value, contiguous_strides

_OPERATOR = "_scaled_dot_product_flash_attention_for_cpu"


def fused_attention(
    t: Tape,
    name: str,
    q: Value,
    k: Value,
    v: Value,
    mask: Value | None = None,
    note: str = "",
    pairs: Size = None,
    masks: Size = 1,
) -> Value:
    """softmax(q kᵀ/√K + mask) v of q [Z,H,Q,K], k and v [Z,G,S,K]: two products forward, five backward.

    Autograd keeps q, k, v, the mask, the result, and the logarithm of each row's sum, in float32 at least. The mask
    takes no gradient and may be broadcast; it adds one operation per score (`masks` is 0 where the sizes leave it out,
    a formula that says so). `pairs` of queries and keys are counted, all
    of them where not given. Results and gradients lie in memory token by token, [Z,Q,H,K].
    """
    Z, H, Q, K = q.shape
    G, S, V = v.shape[1:]
    if pairs is None:
        pairs = Z * H * Q * S
    masked = 0 if mask is None else masks
    sizes = (Z, H, Q, S, K, V)
    mask_shape = None if mask is None else mask.shape
    itemsize, threads = t.run.itemsize, t.run.threads

    def by_token(t: Tape, of: str, heads: Size, tokens: Size, width: Size) -> Value:
        made = t.new(of, (Z, heads, tokens, width))
        steps = contiguous_strides((Z, tokens, heads, width))
        made.strides = tidied(made.shape, (steps[0], steps[2], steps[1], steps[3]))
        return made

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        grads = [by_token(t, "dq", H, Q, K), by_token(t, "dk", G, S, K), by_token(t, "dv", G, S, V)]
        t.launch(
            f"{name}_backward", Kernel.ATTENTION, [g, *kept], grads, operator=f"{_OPERATOR}_backward", sizes=sizes,
            contraction=2 * pairs * (3 * K + 2 * V),
            pointwise=(pointwise.ATTENTION_BACKWARD + masked) * pairs,
            buffer=attention_backward_bytes(Q, S, itemsize, threads) + t.copy_bytes(t.transpose(g, 0, 2, 1, 3)),
            note="q kᵀ recomputed; g vᵀ, aᵀ g, through the softmax, g k, gᵀ q",
        )  # fmt: skip
        return [*grads, *([] if mask_shape is None else [None])]

    inputs = [q, k, v] if mask is None else [q, k, v, mask]
    reads = [value.elements for value in (q, k, v)] + ([] if mask is None else [mask.elements * masks])
    y, lse = by_token(t, name, H, Q, V), t.new("logsumexp", (Z, H, Q), t.run.state_itemsize)
    t.launch(
        name, Kernel.ATTENTION, inputs, [y, lse], operator=_OPERATOR, sizes=sizes, reads=reads,
        contraction=2 * pairs * (K + V),
        pointwise=(pointwise.ATTENTION + masked) * pairs, buffer=attention_bytes(Q, S, K, itemsize, threads),
        note=note or "q kᵀ, softmax and its product with v, tile by tile",
    )  # fmt: skip
    t.follow(name, inputs, [y], backward, [(value, None) for value in (*inputs, y, lse)])
    return y
