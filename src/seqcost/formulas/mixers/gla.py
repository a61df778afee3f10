"""Gated linear attention: every key feature of the memory fades at a rate that the token decides.

The gates come from the input through R features, so that they cost few parameters; the root of order τ keeps them near
1. As in the authors' code, heads are normalised by RMSNorm with one gain for all heads, and the swish gate has no bias;
the paper writes LayerNorm and b_r. No positions are added: the gates make order visible.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.formulas.core.component import check_sizes, exact_div
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.program import Program
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.gated_linear_attention import gated_linear_attention, gated_linear_attention_step
from seqcost.formulas.ops.row_norms import rms_norm
from seqcost.formulas.parts.chunk import check_chunks


@dataclass(frozen=True, kw_only=True)
class Gla(Program):
    """(swish(x W_g) ⊙ RMSNorm(S_tᵀ q_t/√K)) W_o over S_t = Diag(α_t) S_{t−1} + k_t v_tᵀ.

    D width · H heads · K width of a query/key head (default D/2H) · V width of a value head (default D/H) · R features
    that the gates are made of · C tokens in a chunk · J tokens in a sub-chunk, dividing C · `tau` order of the gates'
    root.
    """

    SOURCE: ClassVar[str] = "Yang et al. 2023, arXiv 2312.06635, eq. 3 and sections 4.3–4.4"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"\alpha_t = \sigma(x_t W_1 W_2 + b)^{1/\tau},\quad q_t = x_t W_q / \sqrt{K},\quad k_t = x_t W_k,\quad "
        r"v_t = x_t W_v",
        r"S_t = \mathrm{Diag}(\alpha_t) S_{t-1} + k_t v_t^\top",
        r"y_t = \bigl(\mathrm{swish}(x_t W_g) \odot \mathrm{RMSNorm}_H(S_t^\top q_t)\bigr) W_o",
    )

    D: Size
    H: Size
    K: Size = None
    V: Size = None
    R: Size = 16
    C: Size = 32
    J: Size = 8
    tau: float = 16.0
    epsilon: float = 1e-5  # of the RMSNorm

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H", "R")
        check_chunks(self, "C", "J")
        if self.K is None:
            object.__setattr__(self, "K", exact_div(self.D, 2 * self.H, "width D over twice the heads H"))
        if self.V is None:
            object.__setattr__(self, "V", exact_div(self.D, self.H, "width D over heads H"))
        check_sizes(self, "K", "V")
        assert self.subchunks

    @property
    def subchunks(self) -> tuple[Size, Size]:
        """How many sub-chunks a chunk has, and of how many tokens."""
        return exact_div(self.C, self.J, "tokens of a chunk C over those of a sub-chunk J"), self.J

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
            decay_down=(D * self.R, "W_1"),
            decay_up=(self.R * H * K, "W_2"),
            decay_up_bias=(H * K, "b"),
            gate=(D * H * V, "W_g"),
            gain=(V, "γ of the RMSNorm, shared by the heads"),
            output=(H * V * D, "W_o"),
        )

    def program(self, t: Tape, x: Value, source: Value | None) -> Value:
        B, T, H, K, V = t.run.B, t.run.T, self.H, self.K, self.V

        def heads(name: str, width: Size) -> Value:
            return t.view(t.linear(f"project_{name}", x, H * width, bias=False, note=f"x W_{name[0]}"), B, T, H, width)

        q, k, v = t.unary("query_scale", heads("query", K), "scale", "q/√K"), heads("key", K), heads("value", V)
        low = t.linear("decay_down", x, self.R, bias=False, note="x W_1")
        decay = t.float32("decay_float32", t.linear("decay_up", low, H * K, note="W_2 and b"))
        decay = t.view(
            t.unary("decay_root", _log_sigmoid(t, "decay_log", decay), "scale", "log α = log σ/τ"), B, T, H, K
        )
        state = t.state("state", B, H, K, V, itemsize=t.wide)
        if t.run.stepping:
            q, k, v, decay = (t.view(a, B, H, a.shape[-1]) for a in (q, k, v, decay))
            y, _ = gated_linear_attention_step(t, q, k, v, state, decay)
        else:
            y, _ = gated_linear_attention(t, q, k, v, state, C=self.C, gate=decay, sub=self.subchunks)
        y = t.working("output_cast", rms_norm(t, "rms_norm", t.view(y, B, T, H, V)))
        y = t.multiply("gain", y, t.weight(V), "× γ")
        gate = t.linear("project_gate", x, H * V, bias=False, note="x W_g")
        y = t.multiply("gated", t.view(y, B, T, H * V), t.unary("swish", gate, "silu"), "swish(x W_g) ⊙ y")
        return t.linear("project_output", y, self.D, bias=False, note="y W_o")

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, state=(run.B * self.H * self.K * self.V * run.state_itemsize, "S"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, chunks=(ceil_div(run.T, self.C), "the state passes through every chunk"))


def _log_sigmoid(t: Tape, name: str, x: Value) -> Value:
    """Logarithm of σ(x): the kernel writes exp(−|x|) besides, which its backward reads."""
    n = x.numel
    out = t.operator(
        name, [x], x.shape, x.shape, pointwise=n, keeps=[(x, None)], itemsize=x.storage.itemsize,
        backward=lambda _: [Operator(name=f"{name}_backward", pointwise=n)], note="log σ",
    )  # fmt: skip
    t.keep_besides(f"{name}_exp", n, x.storage.itemsize)
    return out
