"""Mamba: a short convolution, a state-space recurrence whose step, input and output depend on the token, and a gate.

Two forms of the same recurrence:

  chunked     segments of J chunks of C tokens; keeps the starts of the chunks and computes the rest anew in backward
  sequential  a loop over the tokens; keeps two states per token

A decoding step is one turn of the loop. The recurrence itself, its gates and its state are in float32 at least.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size, ceil_div, minimum
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.selective_scan import chunked_scan, scan_step, sequential_scan
from seqcost.formulas.ops.short_conv import short_conv

Form = Literal["chunked", "sequential"]

# Lines of the recurrence alone, in either form.
RECURRENCE = (
    "log_decay", "decay", "step_input", "write", "fade", "state", "ends", "through", "carry", "states", "read",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Mamba(Component):
    """The selective state-space layer (S6) of Mamba, without a norm around it.

    D width · E inner width (default 2·D) · N numbers of state a feature · R rank of the step size δ (default ⌈D/16⌉) ·
    k width of the short convolution · C chunk · J chunks side by side. C and J change the cost, not the result.
    """

    SOURCE: ClassVar[str] = (
        "Gu & Dao 2023, arXiv 2312.00752, eqs. 2a–2b, algorithm 2, sections 3.3 and 3.4; as in mamba_ssm, B is "
        "discretised as δ B (eq. 4 has the zero-order hold)"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"[u, z] = x W_{in},\quad v = \mathrm{SiLU}(\mathrm{conv}_k(u)),\quad [r, B, C] = v W_s",
        r"\delta_t = \mathrm{softplus}(r_t W_\delta + b_\delta),\quad A = -\exp(a)",
        r"h_t = \exp(\delta_t A) \odot h_{t-1} + (\delta_t \odot v_t)\, B_t,\quad s_t = C_t h_t + d \odot v_t",
        r"y_t = (s_t \odot \mathrm{SiLU}(z_t))\, W_{out}",
    )

    D: Size
    E: Size = None
    N: Size = 16
    R: Size = None
    k: Size = 4
    C: Size = 16
    J: Size = 4
    form: Form = "chunked"

    def __post_init__(self) -> None:
        check_sizes(self, "D")
        if self.E is None:
            object.__setattr__(self, "E", 2 * self.D)
        if self.R is None:
            object.__setattr__(self, "R", ceil_div(self.D, 16))
        check_sizes(self, "E", "N", "R", "k", "C", "J")

    def params(self) -> Bill:
        D, E, N, R, k = self.D, self.E, self.N, self.R, self.k
        return Bill.of(
            Kind.PARAMETERS,
            input=(D * 2 * E, "W_in: u and the gate z"),
            conv=(E * k, "k taps a feature"),
            conv_bias=(E, "of the convolution"),
            select=(E * (R + 2 * N), "W_s: r, B, C"),
            delta=(R * E, "W_δ"),
            delta_bias=(E, "b_δ"),
            log_rate=(N * E, "a = log(−A)"),
            skip=(E, "d"),
            output=(E * D, "W_out"),
        )

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        (B, T, _), E, N = x.shape, self.E, self.N
        conv_start, start = t.state("conv_start", B, self.k - 1, E), t.state("start", B, N, E, itemsize=t.wide)
        signals, z, conv = self._signals(t, x, conv_start)
        if t.run.stepping:
            v, delta, rate, write, read = signals
            token = (t.view(v, B, E), t.view(delta, B, E), rate, t.view(write, B, N), t.view(read, B, N))
            y, last = scan_step(t, *token, start)
            y = t.view(y, B, T, E)
        elif self.form == "sequential":
            y, last = sequential_scan(t, *signals, start)  # type: ignore[call-arg]  # as many as it takes
        else:
            y, last = chunked_scan(t, *signals, start, C=self.C, J=self.J)  # type: ignore[misc]  # as many as it takes
        t.carry(conv, last)
        return self._gated(t, y, signals[0], z)

    def _signals(self, t: Tape, x: Value, conv: Value) -> tuple[tuple[Value, ...], Value, Value]:
        """What the recurrence reads (v, δ, A, B, C), the gate z, and what the convolution carries."""
        (B, T, _), E, N, R = x.shape, self.E, self.N, self.R
        both = t.linear("project_input", x, 2 * E, bias=False, note="x [B,T,D] @ W_in [D,2·E]")
        u, z = t.parts(both, (B, T, E), (B, T, E))
        del both
        u, conv = short_conv(t, "conv", u, self.k, conv)
        v = t.unary("conv_gate", u, "silu", "SiLU")
        selected = t.linear("select", v, R + 2 * N, bias=False, note="v [B,T,E] @ W_s [E,R+2·N]")
        r, write, read = t.parts(selected, (B, T, R), (B, T, N), (B, T, N))
        del selected
        raw = t.view(t.linear("delta", t.view(r, B * T, R), E, note="r [B·T,R] @ W_δ [R,E] + b_δ"), B, T, E)
        delta = t.unary("softplus", t.float32("delta_wide", raw), "softplus")
        rate = t.unary("rate", t.unary("rate_exp", t.float32("rate_wide", t.weight(N, E)), "exp"), "neg", "A = −exp(a)")
        v, write, read = (t.float32(f"{n}_wide", i) for n, i in (("x", v), ("write", write), ("read", read)))
        return (v, delta, rate, write, read), z, conv

    def _gated(self, t: Tape, y: Value, v: Value, z: Value) -> Value:
        s = t.add("skip", y, t.multiply("skip_scale", v, t.weight(self.E), "d ⊙ v"), "+ d ⊙ v")
        s = t.working("scan_narrow", s)
        gated = t.multiply("gate", s, t.unary("gate_silu", z, "silu", "SiLU(z)"), "s ⊙ SiLU(z)")
        return t.linear("project_output", gated, self.D, bias=False, note="[B,T,E] @ W_out [E,D]")

    def recurrence_flops(self, run: Workload) -> Bill:
        """What the scan alone executes, of both kinds: the part of the count on which conventions differ."""
        return Bill(line for line in self.flops(run) if line.name in RECURRENCE)

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(
            Kind.STATE,
            conv=(run.B * (self.k - 1) * self.E * run.itemsize, "the last k − 1 inputs of the convolution"),
            scan=(run.B * self.N * self.E * run.state_itemsize, "h, N numbers per feature"),
        )

    def path_length(self, run: Workload) -> Bill:
        steps = run.T if self.form == "sequential" else minimum(run.T, 2 * self.C + ceil_div(run.T, self.C))
        return Bill.of(Kind.PATH, recurrence=(steps, "a step per token, or per chunk, and two chunks of single steps"))
