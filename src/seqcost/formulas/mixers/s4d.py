"""Diagonal state space model: each channel a convolution with a kernel that a few complex exponentials make.

A whole sequence is convolved by FFT; a token at a time is a recurrence of N/2 complex states a channel. The kernel of
T tokens comes from T/C + C powers instead of T (`formulas.ops.diagonal_ssm`), so no [D,N/2,T] exists. FFTs have the
length 2·2^⌈log₂ T⌉ and are in float32 at least: on a CPU there is none in bfloat16.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.diagonal_ssm import Diagonal, product, ssm_convolution, ssm_extend, ssm_step

STEPS = (1e-3, 1e-1)  # Δ is drawn between them, evenly in its logarithm


@dataclass(frozen=True, kw_only=True)
class S4d(Component):
    """Long convolution, GELU and a gated output.

    D width · N real states a channel, which are N/2 complex ones · C tokens of a chunk, in which powers are computed.
    """

    SOURCE: ClassVar[str] = "Gu et al. 2022, arXiv 2206.11893: S4D, initialised as S4D-Lin, zero-order hold"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"A_m = -\tfrac12 + i \pi m \;\text{at first},\quad m = 0, \dots, N/2 - 1",
        r"K_l = 2\,\mathrm{Re} \sum_m C_m \frac{e^{\Delta A_m} - 1}{A_m} e^{\Delta A_m l}",
        r"u_t = \sum_{l=0}^{t} K_l x_{t-l} + d \odot x_t",
        r"y_t = \mathrm{GLU}(W\,\mathrm{GELU}(u_t) + b)",
    )

    D: Size
    N: Size = 64
    C: Size = 32

    def __post_init__(self) -> None:
        check_sizes(self, "D", "N", "C")
        _ = self.modes  # refuses an odd N

    @property
    def modes(self) -> Size:
        """Complex states a channel."""
        return exact_div(self.N, 2, "states N over the two parts of a complex number")

    def params(self) -> Bill:
        D, N = self.D, self.N
        return Bill.of(
            Kind.PARAMETERS,
            log_step=(D, "log Δ"),
            log_decay=(D * self.modes, "log of −Re A"),
            frequency=(D * self.modes, "Im A"),
            read=(D * N, "C, real and imaginary parts"),
            skip=(D, "d"),
            output=(2 * D * D, "W"),
            output_bias=(2 * D, "b"),
        )

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, T, D = x.shape
        if t.run.stepping:
            token = t.view(x, B, D)
            y, last = ssm_step(t, token, self._system(t), self._state(t, B))
            t.carry(last)
            return t.view(self._out(t, y, token), B, T, D)
        if not t.run.started:
            return self._out(t, _tokens_first(t, ssm_convolution(t, x, self._system(t), self.C)), x)
        y, last = ssm_extend(t, x, self._system(t), self._state(t, B), self.C)
        t.carry(last)
        return self._out(t, _tokens_first(t, y), x)

    def _state(self, t: Tape, B: Size) -> Value:
        return t.state("start", B, self.D, self.N, operator="full", itemsize=t.wide)

    def _system(self, t: Tape) -> Diagonal:
        D, M = self.D, self.modes

        def weight(name: str, *shape: Size) -> Value:
            return t.float32(f"{name}_float32", t.weight(*shape))

        def scaled(x: Value) -> Value:
            return t.transpose(t.multiply("step_size", t.transpose(x, 1, 0), step, "ΔA"), 1, 0)

        step = t.unary("step", weight("log_step", D), "exp", "Δ")
        real, imaginary = t.unary("decay_rate", weight("log_decay", D, M), "exp", "−Re A"), weight("frequency", D, M)
        rate, angle = t.unary("step_sign", scaled(real), "neg"), scaled(imaginary)
        half = t.unary("half_sin", t.unary("half", angle, "scale", "φ/2"), "sin")
        real_part = [self._grown(t, rate, angle, half)]
        grown = (
            real_part.pop(),
            t.multiply("grown", t.unary("step_exp", rate, "exp"), t.unary("step_sin", angle, "sin"), "Im e^{ΔA}"),
        )
        above = product(t, "hold", grown, (t.unary("conjugate", real, "neg"), t.unary("conjugate", imaginary, "neg")))
        norm = t.add("norm", t.unary("norm", real, "square"), t.unary("norm", imaginary, "square"), "|A|²")
        read = t.every(t.unary("read_double", weight("read", D, M, 2), "scale-whole", "2 C"), -1, name="read")
        held = t.divide("hold", above[0], norm), t.divide("hold", above[1], norm)
        return Diagonal(rate, angle, product(t, "gain", held, (read[0], read[1])))

    @staticmethod
    def _grown(t: Tape, rate: Value, angle: Value, half: Value) -> Value:
        """Re e^{ΔA} − 1."""

        def bend() -> Value:
            return t.unary("half_double", t.unary("half_square", half, "square"), "scale-whole", "1 − cos φ")

        turned = t.multiply("grown", t.unary("step_expm1", rate, "expm1"), t.unary("step_cos", angle, "cos"))
        return t.subtract("grown", turned, bend(), "Re e^{ΔA} − 1")

    def _out(self, t: Tape, y: Value, x: Value) -> Value:
        def skipped() -> Value:
            return t.add("skip_sum", y, t.float32("skip_float32", t.multiply("skip", x, t.weight(self.D), "d ⊙ x")))

        y = t.working("working", t.unary("activation", skipped(), "gelu", "GELU"))
        made = t.linear("output", y, 2 * self.D, note="W y + b")
        value, gate = t.parts(made, y.shape, y.shape)
        del made
        return t.multiply("gated", value, t.unary("gate", gate, "sigmoid", "σ"), "GLU")

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, modes=(run.B * self.D * self.N * run.state_itemsize, "s, real and imaginary parts"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, convolution=(1, "the kernel reaches every earlier token"))


def _tokens_first(t: Tape, y: Value) -> Value:
    return t.copy("tokens_first", t.transpose(y, 1, 2, 0), note="[D,B,T] to [B,T,D]")
