"""Attention as a recurrent network: one learned query, whose softmax over every prefix a scan computes.

The query is the same at all positions, so the key projection is folded into it: q·(W_k x + b_k) = (W_kᵀ q)·x + q·b_k.
The keys [B,T,H·K] are never made, and a score costs 2·D in place of 2·D·K + 2·K operations; parameters and result are
those of the paper.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.prefix_attention import prefix_attention, prefix_attention_step
from seqcost.formulas.ops.scan import check_chunk
from seqcost.formulas.parts.heads import fill_heads


@dataclass(frozen=True, kw_only=True)
class Aaren(Component):
    """Softmax attention of one learned query to every prefix, many tokens to many.

    D width · H heads · K width of a head, of keys and values alike (default D/H) · C tokens of a chunk of the scan.
    """

    SOURCE: ClassVar[str] = "Feng et al. 2024, arXiv 2405.13956, section 3: (m, u, w) and Aaren"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"s_t = \frac{(W_q q) \cdot (W_k x_t)}{\sqrt{K}},\quad v_t = W_v x_t",
        r"m_t = \max(m_{t-1}, s_t)",
        r"u_t = u_{t-1} e^{m_{t-1} - m_t} + e^{s_t - m_t},\quad w_t = w_{t-1} e^{m_{t-1} - m_t} + v_t e^{s_t - m_t}",
        r"y_t = W_o\,(w_t / u_t)",
    )

    D: Size
    H: Size
    K: Size = None
    C: int = 32
    bias: bool = True

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H")
        check_chunk("Aaren", self.C)
        fill_heads(self)

    def params(self) -> Bill:
        D, N = self.D, self.H * self.K
        lines = {"token": (D, "q, the learned query token")}
        for name, note in (("query", "W_q"), ("key", "W_k"), ("value", "W_v")):
            lines[name] = (D * N, note)
            if self.bias:
                lines[f"{name}_bias"] = (N, f"b_{note[-1]}")
        lines["output"] = (N * D, "W_o")
        if self.bias:
            lines["output_bias"] = (D, "b_o")
        return Bill.of(Kind.PARAMETERS, **lines)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, T, D = x.shape
        m_BH = t.state("start_largest", B, self.H, operator="full", itemsize=t.wide)
        wu_BHK1 = t.state("start_sums", B, self.H, self.K + 1, operator="full", itemsize=t.wide)
        if t.run.stepping:
            x = t.view(x, B, D)
            o, *after = prefix_attention_step(t, *self._scores_values(t, x), m_BH, wu_BHK1)
        else:
            o, *after = prefix_attention(t, *self._scores_values(t, x), m_BH, wu_BHK1, self.C)
        t.carry(*after)
        y = t.view(t.working("working", o), *o.shape[:-2], self.H * self.K)
        return t.view(t.linear("output", y, D, bias=self.bias, note="o W_o"), B, T, D)

    def _scores_values(self, t: Tape, x: Value) -> tuple[Value, Value]:
        """One score per head and its value; the keys are folded into the query and never made."""
        *front, D = x.shape
        H, K = self.H, self.K
        query = t.linear("query", t.weight(1, D), H * K, bias=self.bias, note="q W_q, once")
        q_H1K = t.view(t.unary("query_scaled", query, "scale", "1/√K"), H, ONE, K)
        del query
        folded_HD = t.view(t.matmul("fold", q_H1K, t.weight(H, K, D), "W_kᵀ q of each head, once"), H, D)
        shift_H = t.view(t.matmul("fold_bias", q_H1K, t.weight(H, K, ONE), "q·b_k"), H) if self.bias else None
        projected = t.linear(
            "scores", x, H, bias=self.bias, weight=folded_HD, shift=shift_H, note="x·(W_kᵀ q): one number per head"
        )  # fmt: skip
        scores = t.float32("scores_float32", projected)
        v = t.float32("value_float32", t.linear("value", x, H * K, bias=self.bias, note="x W_v"))
        return scores, t.view(v, *front, H, K)

    def state_bytes(self, run: Workload) -> Bill:
        B, H, size = run.B, self.H, run.state_itemsize
        return Bill.of(
            Kind.STATE,
            largest=(B * H * size, "m, the largest score so far"),
            sums=(B * H * (self.K + 1) * size, "w, and u beside it"),
        )

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, attention=(1, "every position attends to all before it"))
