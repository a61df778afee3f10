"""Mamba-2: Mamba with one decay per head, whose recurrence in chunks is matrix products (state-space duality).

Two forms of the same recurrence:

  chunked     products within chunks of C tokens, a loop over the chunks
  sequential  a loop over the tokens; keeps two states per token

A decoding step is one turn of the loop. The recurrence, its gates and its state are in float32 at least.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size, ceil_div
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.row_norms import rms_norm
from seqcost.formulas.ops.short_conv import short_conv
from seqcost.formulas.ops.ssd import chunked_ssd, sequential_ssd, ssd_step

Form = Literal["chunked", "sequential"]


@dataclass(frozen=True, kw_only=True)
class Mamba2(Component):
    """The state-space layer of Mamba-2, with its own norm before the output and none around it.

    D width · H heads · E inner width (default 2·D) · V = E/H width of a head · G groups of heads that share B and C ·
    N numbers of state a feature · k width of the short convolution · C chunk, which changes the cost, not the result.
    """

    SOURCE: ClassVar[str] = (
        "Dao & Gu 2024, arXiv 2405.21060, sections 5 (duality) and 7 (block), section 6 with listing 1 (chunks)"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"[z, u, r] = x W_{in},\quad [v, B, C] = \mathrm{SiLU}(\mathrm{conv}_k(u)),\quad "
        r"\delta_t = \mathrm{softplus}(r_t + b_\delta)",
        r"S_t = \exp(-e^a \delta_t)\, S_{t-1} + \delta_t\, v_t B_t^\top,\quad s_t = S_t C_t + d\, v_t"
        r"\quad\text{for each head}",
        r"y_t = \left(\gamma \odot \mathrm{RMSNorm}(s_t \odot \mathrm{SiLU}(z_t))\right) W_{out}",
    )

    D: Size
    H: Size
    E: Size = None
    G: Size = 1
    N: Size = 128
    k: Size = 4
    C: Size = 64
    epsilon: float = 1e-5
    form: Form = "chunked"

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H")
        if self.E is None:
            object.__setattr__(self, "E", 2 * self.D)
        check_sizes(self, "E", "G", "N", "k", "C")
        exact_div(self.E, self.H, "inner width E over heads H")
        exact_div(self.H, self.G, "heads H over groups G")

    @property
    def V(self) -> Size:
        """Width of a head."""
        return exact_div(self.E, self.H, "inner width E over heads H")

    @property
    def heads(self) -> Size:
        """Heads of a group."""
        return exact_div(self.H, self.G, "heads H over groups G")

    @property
    def channels(self) -> Size:
        """Features that the convolution reads: v, B and C."""
        return self.E + 2 * self.G * self.N

    @property
    def multiplies_masked(self) -> bool:
        return self.form == "chunked"

    def params(self) -> Bill:
        D, E, H, k = self.D, self.E, self.H, self.k
        return Bill.of(
            Kind.PARAMETERS,
            input=(D * (E + self.channels + H), "W_in: the gate z, then v, B, C, then δ"),
            conv=(self.channels * k, "k taps a feature"),
            conv_bias=(self.channels, "of the convolution"),
            delta_bias=(H, "b_δ"),
            log_rate=(H, "a = log(−A)"),
            skip=(H, "d"),
            gain=(E, "γ"),
            output=(E * D, "W_out"),
        )

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        (B, T, _), H, V, G, N = x.shape, self.H, self.V, self.G, self.N
        conv_start = t.state("conv_start", B, self.k - 1, self.channels)
        start = t.state("start", B, H, V, N, itemsize=t.wide)
        signals, z, v, conv = self._signals(t, x, conv_start)
        if t.run.stepping:
            shapes = (B, H, V), (B, H), (B, G, N), (B, G, N)
            token = [t.view(signal, *shape) for signal, shape in zip(signals, shapes, strict=True)]
            y, last = ssd_step(t, *token, start, heads=self.heads)  # type: ignore[misc]  # as many as it takes
            y = t.view(y, B, T, H, V)
        elif self.form == "sequential":
            y, last = sequential_ssd(t, *signals, start, heads=self.heads)  # type: ignore[misc]  # as many as it takes
        else:
            y, last = chunked_ssd(t, *signals, start, C=self.C, heads=self.heads)  # type: ignore[misc]  # as many as it takes
        t.carry(conv, last)
        return self._out(t, y, v, z)

    def _signals(self, t: Tape, x: Value, conv: Value) -> tuple[tuple[Value, ...], Value, Value, Value]:
        """What the recurrence reads (δ v, g, B, C), the gate z, v alone, and what the convolution carries."""
        (B, T, _), E, H, V, G, N = x.shape, self.E, self.H, self.V, self.G, self.N
        W = self.channels
        both = t.linear("project_input", x, E + W + H, bias=False, note="x [B,T,D] @ W_in [D,2·E+2·G·N+H]")
        z, u, r = t.parts(both, (B, T, E), (B, T, W), (B, T, H))
        del both
        u, conv = short_conv(t, "conv", u, self.k, conv)
        wide = t.float32("signals_wide", t.unary("conv_gate", u, "silu", "SiLU"))
        v, write, read = t.parts(wide, (B, T, E), (B, T, G * N), (B, T, G * N))
        del wide
        v, write, read = t.view(v, B, T, H, V), t.view(write, B, T, G, N), t.view(read, B, T, G, N)
        shifted = t.add("delta_shift", t.float32("delta_wide", r), t.weight(H), "r + b_δ")
        delta = t.unary("softplus", shifted, "softplus")
        del shifted
        gate = t.multiply("gates", delta, self._rate(t), "g = δ A")
        return (t.multiply("step_input", v, t.view(delta, B, T, H, ONE), "δ v"), gate, write, read), z, v, conv

    def _rate(self, t: Tape) -> Value:
        return t.unary(
            "rate", t.unary("rate_exp", t.float32("rate_wide", t.weight(self.H)), "exp"), "neg", "A = −exp(a)"
        )

    def _out(self, t: Tape, y: Value, v: Value, z: Value) -> Value:
        (B, T, H, V), E, G = v.shape, self.E, self.G

        def gate() -> Value:
            return t.unary("gate_silu", t.float32("gate_wide", z), "silu", "SiLU(z)")

        def skipped() -> Value:
            return t.add("skip", y, t.multiply("skip_scale", v, t.view(t.weight(H), H, ONE), "d · v"), "+ d · v")

        s = t.multiply("gate", t.view(skipped(), B, T, E), gate(), "s ⊙ SiLU(z)")
        normed = t.view(rms_norm(t, "norm", t.view(s, B, T, G, self.heads * V)), B, T, E)
        y = t.working("narrow", t.multiply("gain", normed, t.weight(E), "γ"))
        return t.linear("project_output", y, self.D, bias=False, note="[B,T,E] @ W_out [E,D]")

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(
            Kind.STATE,
            conv=(run.B * (self.k - 1) * self.channels * run.itemsize, "the last k − 1 inputs of the convolution"),
            ssd=(run.B * self.E * self.N * run.state_itemsize, "S, V·N numbers per head"),
        )

    def path_length(self, run: Workload) -> Bill:
        if self.form == "sequential":
            return Bill.of(Kind.PATH, recurrence=(run.T, "one step per token"))
        return Bill.of(Kind.PATH, recurrence=(ceil_div(run.T, self.C), "one step per chunk, in which all tokens meet"))
