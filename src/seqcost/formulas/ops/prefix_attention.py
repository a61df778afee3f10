"""Softmax over a growing prefix by a scan of (m, u, w), as `layers.ops.prefix_attention` executes it."""

from seqcost.algebra import Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.ops.scan import linear_scan

POSITION_BYTES = 8  # int64


def prefix_attention(
    t: Tape, s_BTH: Value, v_BTHV: Value, m_BH: Value, wu_BHV1: Value, C: int
) -> tuple[Value, Value, Value]:
    """Scores [B,T,H] and values [B,T,H,V] → o [B,T,H,V], and m, and w beside u, after the last token."""
    B, T, H = s_BTH.shape
    m_BPH = running_maximum(
        t, "largest",
        t.cat(
            "scores_joined", [t.view(m_BH, B, ONE, H), t.detach(s_BTH)], B, T + 1, H,
            note="the carried maximum before the scores",
        ),
    )  # fmt: skip
    before_BTH, now_BTH = t.part(m_BPH, B, T, H), t.part(m_BPH, B, T, H)
    decay_BTH1, weight_BTH1 = _exponents(t, before_BTH, now_BTH, s_BTH)
    wu_BTHV1, wu_BHV1 = linear_scan(t, decay_BTH1, _weighted(t, weight_BTH1, v_BTHV), wu_BHV1, C)
    o_BTHV = _divided(t, wu_BTHV1, v_BTHV.shape[-1])
    return o_BTHV, t.copy("largest_copy", t.select(m_BPH, 1), note="the maximum to be carried"), wu_BHV1


def prefix_attention_step(
    t: Tape, s_BH: Value, v_BHV: Value, m_BH: Value, wu_BHV1: Value
) -> tuple[Value, Value, Value]:
    """Scores [B,H] and values [B,H,V] of one token → o [B,H,V], and m, w and u after it."""
    now_BH = t.pointwise("largest", [m_BH, s_BH], 1, "max(m, s)", operator="maximum")
    decay_BH1, weight_BH1 = _exponents(t, m_BH, now_BH, s_BH)
    wu_BHV1 = t.add_product(
        "scan", _weighted(t, weight_BH1, v_BHV), decay_BH1, wu_BHV1, "w and u of one more token"
    )  # fmt: skip
    return _divided(t, wu_BHV1, v_BHV.shape[-1]), now_BH, wu_BHV1


def running_maximum(t: Tape, name: str, x: Value) -> Value:
    """torch.cummax along the tokens, which writes the positions of the maxima too. No gradient flows through it."""
    B, T, H = x.shape
    y, at = t.new(name, x.shape, x.storage.itemsize), t.new(f"{name}_positions", x.shape, POSITION_BYTES)
    t.launch(
        name, Kernel.SCAN, [x], [y, at], operator="cummax", sizes=(B * H, T), pointwise=x.numel, note="running maximum"
    )
    return y


def _exponents(t: Tape, before: Value, now: Value, s: Value) -> tuple[Value, Value]:
    decay = t.unary("decay", t.subtract("decay_difference", before, now, "m − m'"), "exp", "e^(m − m')")
    weight = t.unary("weight", t.subtract("weight_difference", s, now, "s − m'"), "exp", "e^(s − m')")
    return t.view(decay, *decay.shape, ONE), t.view(weight, *weight.shape, ONE)


def _weighted(t: Tape, weight: Value, v: Value) -> Value:
    *front, V = v.shape
    beside = t.pad("value_one", v, *front, V + 1, note="a 1 beside each value, whose sum is u")
    return t.multiply("weighted", weight, beside, "e^(s − m') ⊙ (v, 1)")


def _divided(t: Tape, wu: Value, V: Size) -> Value:
    front = wu.shape[:-1]
    w, u = t.parts(wu, (*front, V), (*front, ONE), name="sums_parts")
    return t.divide("normalised", w, u, "w / u")
