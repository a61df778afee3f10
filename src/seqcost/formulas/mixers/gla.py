"""Gated linear attention: every key feature of the memory fades at a rate that the token decides.

The gates come from the input through R features, so that they cost few parameters; the root of order τ keeps them near
1. As in the authors' code, heads are normalised by RMSNorm with one gain for all heads, and the swish gate has no bias;
the paper writes LayerNorm and b_r. No positions are added: the gates make order visible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.gated_linear_attention import gated_linear_attention, gated_linear_attention_step
from seqcost.formulas.ops.row_norms import rms_norm
from seqcost.formulas.parts.chunk import check_chunks


@dataclass(frozen=True, kw_only=True)
class Gla(Component):
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

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, T, H, K, V = t.run.B, t.run.T, self.H, self.K, self.V
        state = t.state("state", B, H, K, V, itemsize=t.wide)
        if t.run.stepping:
            x = t.view(x, B, self.D)
        q, k, v, log_decay = self._heads(t, x)
        if t.run.stepping:
            y, after = gated_linear_attention_step(t, q, k, v, state, log_decay)
        else:
            y, after = gated_linear_attention(t, q, k, v, state, C=self.C, gate=log_decay, sub=self.subchunks)
        t.carry(after)
        return t.view(self._gated(t, y, x), B, T, self.D)

    def _heads(self, t: Tape, x: Value) -> tuple[Value, Value, Value, Value]:
        """Queries over √K, keys, values and the logarithm of the gates, by heads."""
        front, H, K, V = x.shape[:-1], self.H, self.K, self.V

        def projected(name: str, width: Size) -> Value:
            y = t.linear(f"project_{name}", x, H * width, bias=False, note=f"x W_{name[0]}")
            return t.view(y, *front, H, width)

        def gates() -> Value:
            return t.float32("decay_float32", up(t.linear("decay_down", x, self.R, bias=False, note="x W_1")))

        def up(low: Value) -> Value:
            return t.linear("decay_up", low, H * K, note="W_2 and b")

        q = t.unary("query_scale", projected("query", K), "scale", "q/√K")
        k, v = projected("key", K), projected("value", V)
        log_decay = t.unary("decay_root", _log_sigmoid(t, "decay_log", gates()), "divide", "log α = log σ/τ")
        return q, k, v, t.view(log_decay, *front, H, K)

    def _gated(self, t: Tape, y: Value, x: Value) -> Value:
        """Each head normalised, then gated and projected."""
        y = t.multiply("gain", t.working("output_cast", rms_norm(t, "rms_norm", y)), t.weight(self.V), "× γ")
        width = self.H * self.V
        gate = t.unary("swish", t.linear("project_gate", x, width, bias=False, note="x W_g"), "silu")
        gated = t.multiply("gated", t.view(y, *x.shape[:-1], width), gate, "swish(x W_g) ⊙ y")
        del gate
        return t.linear("project_output", gated, self.D, bias=False, note="y W_o")

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, state=(run.B * self.H * self.K * self.V * run.state_itemsize, "S"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, chunks=(ceil_div(run.T, self.C), "the state passes through every chunk"))


def _log_sigmoid(t: Tape, name: str, x: Value) -> Value:
    """Logarithm of σ(x): the kernel writes exp(−|x|) besides, which its backward reads."""
    size = x.storage.itemsize
    y, rest = t.new(name, x.shape, size), t.new(f"{name}_exp", x.shape, size)
    t.launch(name, Kernel.ELEMENTWISE, [x], [y, rest], operator="log_sigmoid_forward", pointwise=x.numel, note="log σ")

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        return [t.pointwise(f"{name}_backward", [g, *kept], 1, operator="log_sigmoid_backward")]

    t.follow(name, [x], [y], backward, [(x, None), (rest, None)])
    return y
