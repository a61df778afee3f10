"""Attention as a recurrent network: one learned query, whose softmax over every prefix a scan computes.

The query is the same at all positions, so the key projection is folded into it: q·(W_k x + b_k) = (W_kᵀ q)·x + q·b_k.
The keys [B,T,H·K] are never made, and a score costs 2·D in place of 2·D·K + 2·K operations; parameters and result are
those of the paper.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import check_sizes
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.program import Program
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value, product
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.prefix_attention import prefix_attention, prefix_attention_step
from seqcost.formulas.ops.scan import check_chunk
from seqcost.formulas.parts.heads import fill_heads


@dataclass(frozen=True, kw_only=True)
class Aaren(Program):
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

    def program(self, t: Tape, x: Value, source: Value | None) -> Value:
        B, T, D = x.shape
        H, K = self.H, self.K
        front = (B,) if t.run.stepping else (B, T)
        m = t.state("start_largest", B, H, itemsize=t.wide)
        wu = t.state("start_sums", B, H, K + 1, itemsize=t.wide)
        x = t.view(x, *front, D)
        s = t.float32("scores_float32", self._scores(t, x))
        v = t.linear("value", x, H * K, bias=self.bias, note="x W_v")
        v = t.float32("value_float32", t.view(v, *front, H, K))
        o = prefix_attention_step(t, s, v, m, wu) if t.run.stepping else prefix_attention(t, s, v, m, wu, self.C)
        o = t.working("working", o)
        return t.view(t.linear("output", t.view(o, *front, H * K), D, bias=self.bias, note="o W_o"), B, T, D)

    def _scores(self, t: Tape, x: Value) -> Value:
        *front, D = x.shape
        H, K = self.H, self.K
        rows = product(front)
        query = t.linear("query", t.weight(1, D), H * K, bias=self.bias, note="q W_q, once")
        query = t.view(t.unary("query_scaled", query, "scale", "1/√K"), H, 1, K)
        folded = t.matmul("fold", query, t.weight(H, K, D), "W_kᵀ q of each head, once")
        shift = [t.matmul("fold_bias", query, t.weight(H, K, 1), "q·b_k")] if self.bias else []

        def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
            if wanted[0]:
                yield Operator(name="scores_dx", contraction=2 * rows * D * H, note="g r")
            yield Operator(name="scores_dr", contraction=2 * rows * D * H, note="gᵀ x")
            if self.bias:
                yield Operator(name="scores_db", pointwise=rows * H, note="Σ g")

        return t.operator(
            "scores", [x, folded, *shift], (*front, H), contraction=2 * rows * D * H,
            pointwise=rows * H if self.bias else 0, backward=backward, keeps=[(x, 1), (folded, 0)],
            note="x·(W_kᵀ q): one number a head",
        )  # fmt: skip

    def state_bytes(self, run: Workload) -> Bill:
        B, H, size = run.B, self.H, run.state_itemsize
        return Bill.of(
            Kind.STATE,
            largest=(B * H * size, "m, the largest score so far"),
            sums=(B * H * (self.K + 1) * size, "w, and u beside it"),
        )

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, attention=(1, "every position attends to all before it"))
