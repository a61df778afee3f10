"""Retention: linear attention whose memory fades at a fixed rate per head, with rotary positions and a gated output.

Covered of the original: queries and keys turned by their positions (the phase of xPos; its decay is the gate γ), keys
over √K, a rate γ per head, GroupNorm of each head without weights, the swish gate. Its further normalisations (rows of
the decay matrix over their root sum, scores over max(|Σ|, 1)) scale a head's output by one positive number per token,
which GroupNorm takes out again; they are not executed, and the results agree but for GroupNorm's ε.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.gated_linear_attention import gated_linear_attention, gated_linear_attention_step
from seqcost.formulas.ops.rotary import rotary, rotary_tables
from seqcost.formulas.ops.row_norms import group_norm
from seqcost.formulas.parts.chunk import check_chunks


@dataclass(frozen=True, kw_only=True)
class RetNet(Component):
    """(swish(x W_g) ⊙ GroupNorm(Σ γ^(t−s) (q_t · k_s) v_s)) W_o.

    D width · H heads · K width of a query/key head (default D/H), even · V width of a value head (default 2·K) · C
    tokens in a chunk. Head h keeps γ = 1 − 2^(−5−h) of its memory a token, h from 0.
    """

    SOURCE: ClassVar[str] = "Sun et al. 2023, arXiv 2307.08621, eqs. 1–8 (section 2)"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"q_t = e^{i t \theta} W_q x_t,\quad k_t = e^{i t \theta} \frac{W_k x_t}{\sqrt{K}},\quad v_t = W_v x_t",
        r"S_t = \gamma S_{t-1} + k_t v_t^\top,\quad \gamma_h = 1 - 2^{-5-h}",
        r"y_t = \bigl(\mathrm{swish}(W_g x_t) \odot \mathrm{GroupNorm}_H(S_t^\top q_t)\bigr) W_o",
    )

    D: Size
    H: Size
    K: Size = None
    V: Size = None
    C: Size = 64
    rope_base: float = 10000.0
    epsilon: float = 1e-5  # of the GroupNorm

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H")
        check_chunks(self, "C")
        if self.K is None:
            object.__setattr__(self, "K", exact_div(self.D, self.H, "width D over heads H"))
        exact_div(self.K, 2, "rotary positions: head width K")
        if self.V is None:
            object.__setattr__(self, "V", 2 * self.K)
        check_sizes(self, "K", "V")

    @property
    def multiplies_masked(self) -> bool:
        return True

    def params(self) -> Bill:
        D, H, K, V = self.D, self.H, self.K, self.V
        return Bill.of(
            Kind.PARAMETERS,
            query=(D * H * K, "W_q"),
            key=(D * H * K, "W_k"),
            value=(D * H * V, "W_v"),
            gate=(D * H * V, "W_g"),
            output=(H * V * D, "W_o"),
        )

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, T, H, K, V = t.run.B, t.run.T, self.H, self.K, self.V
        state = t.state("state", B, H, K, V, itemsize=t.wide)
        decay = t.buffer(H, itemsize=t.wide)
        q, k, v = self._heads(t, x)
        if t.run.stepping:
            q, k, v = t.view(q, B, H, K), t.view(k, B, H, K), t.view(v, B, H, V)
            y, after = gated_linear_attention_step(t, q, k, v, state, decay)
            y = t.view(y, B, T, H, V)
        else:
            y, after = gated_linear_attention(t, q, k, v, state, C=self.C, gate=decay)
        t.carry(after)
        return self._gated(t, y, x)

    def _heads(self, t: Tape, x: Value) -> tuple[Value, Value, Value]:
        """Queries and keys turned to their positions, and values."""
        B, T, _ = x.shape

        def projected(name: str, width: Size) -> Value:
            y = t.linear(f"project_{name}", x, self.H * width, bias=False, note=f"x W_{name[0]}")
            return t.view(y, B, T, self.H, width)

        cos, sin = rotary_tables(t, T, self.K)
        q = rotary(t, "rope_query", projected("query", self.K), cos, sin)
        scaled = t.unary("key_scale", projected("key", self.K), "scale", "k/√K")
        k = rotary(t, "rope_key", scaled, cos, sin)
        del scaled
        return q, k, projected("value", self.V)

    def _gated(self, t: Tape, y: Value, x: Value) -> Value:
        """Each head normalised, then gated and projected."""
        B, T, _ = x.shape
        width = self.H * self.V
        y = t.view(t.working("output_cast", group_norm(t, "group_norm", y)), B, T, width)
        gate = t.unary("swish", t.linear("project_gate", x, width, bias=False, note="x W_g"), "silu")
        gated = t.multiply("gated", y, gate, "swish(x W_g) ⊙ y")
        del gate
        return t.linear("project_output", gated, self.D, bias=False, note="y W_o")

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, state=(run.B * self.H * self.K * self.V * run.state_itemsize, "S = Σ γ^(t−s) k vᵀ"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, chunks=(ceil_div(run.T, self.C), "the state passes through every chunk"))
