"""Softmax over a growing prefix by a scan of (m, u, w), as `layers.ops.prefix_attention` executes it."""

from seqcost.algebra import Size
from seqcost.formulas.core.operator import ID_BYTES
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.ops.scan import add_product, linear_scan


def prefix_attention(t: Tape, s: Value, v: Value, m: Value, wu: Value, C: int) -> Value:
    """Scores [B,T,H] and values [B,T,H,V] → o [B,T,H,V]."""
    B, T, H = s.shape
    joined = t.moved("scores_joined", [m, t.detach(s)], B, T + 1, H, note="the carried maximum before the scores")
    largest = running_maximum(t, "largest", joined)
    before, now = t.part(largest, B, T, H), t.part(largest, B, T, H)
    decay, weight = _exponents(t, before, now, s)
    sums, _ = linear_scan(t, decay, _weighted(t, weight, v), wu, C)
    out = _divided(t, sums, v.shape[-1])
    t.moved("largest_copy", [t.part(largest, B, H)], B, H, note="the maximum to be carried")
    return out


def prefix_attention_step(t: Tape, s: Value, v: Value, m: Value, wu: Value) -> Value:
    """Scores [B,H] and values [B,H,V] of one token → o [B,H,V]."""
    now = t.operator("largest", [m, s], s.shape, pointwise=s.numel, itemsize=s.storage.itemsize, note="max(m, s)")
    decay, weight = _exponents(t, m, now, s)
    sums = add_product(t, "scan", _weighted(t, weight, v), decay, wu, "w and u of one more token")
    return _divided(t, sums, v.shape[-1])


def running_maximum(t: Tape, name: str, x: Value) -> Value:
    """torch.cummax, which writes the positions of the maxima too. No gradient flows through it."""
    out = t.operator(name, [x], x.shape, pointwise=x.numel, itemsize=x.storage.itemsize, note="running maximum")
    t.constant(f"{name}_positions", *x.shape, itemsize=ID_BYTES)
    return out


def _exponents(t: Tape, before: Value, now: Value, s: Value) -> tuple[Value, Value]:
    decay = t.unary("decay", t.subtract("decay_difference", before, now, "m − m'"), "exp", "e^(m − m')")
    weight = t.unary("weight", t.subtract("weight_difference", s, now, "s − m'"), "exp", "e^(s − m')")
    return t.view(decay, *decay.shape, ONE), t.view(weight, *weight.shape, ONE)


def _weighted(t: Tape, weight: Value, v: Value) -> Value:
    *front, V = v.shape
    beside = t.moved("value_one", [v], *front, V + 1, note="a 1 beside each value, whose sum is u")
    return t.multiply("weighted", weight, beside, "e^(s − m') ⊙ (v, 1)")


def _divided(t: Tape, wu: Value, V: Size) -> Value:
    front = wu.shape[:-1]
    w, u = t.parts(wu, (*front, V), (*front, ONE))
    return t.divide("normalised", w, u, "w / u")
