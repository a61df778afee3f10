"""Real-gated linear recurrent unit: a diagonal recurrence whose decay each token chooses, its input scaled to match.

The recurrence runs in two levels (`formulas.ops.scan`). The gates are full products here; the released code cuts them
into blocks, one per head. Not covered: the convolution and the gated branch of the block that the paper puts around it.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.scan import check_chunk, linear_scan


@dataclass(frozen=True, kw_only=True)
class RgLru(Component):
    """D width, of the input and of the state alike · C tokens of a chunk of the scan."""

    SOURCE: ClassVar[str] = "De et al. 2024, arXiv 2402.19427, eqs. 1–4 and appendix A"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"r_t = \sigma(W_a x_t + b_a),\quad i_t = \sigma(W_x x_t + b_x)",
        r"\log a_t = -8\, \mathrm{softplus}(\Lambda) \odot r_t",
        r"h_t = a_t \odot h_{t-1} + \sqrt{1 - a_t^2} \odot (i_t \odot x_t)",
    )

    D: Size
    C: int = 32

    def __post_init__(self) -> None:
        check_sizes(self, "D")
        check_chunk("RgLru", self.C)

    def params(self) -> Bill:
        D = self.D
        return Bill.of(Kind.PARAMETERS, gates=(2 * D * D, "W_a, W_x"), gates_bias=(2 * D, "b_a, b_x"), decay=(D, "Λ"))

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, T, D = x.shape
        start = t.state("start", B, D, operator="full", itemsize=t.wide)
        if t.run.stepping:
            a, b = self._recurrence(t, t.view(x, B, D))
            h = last = t.add_product("scan", b, a, start, "h = a ⊙ h + b")
        else:
            h, last = linear_scan(t, *self._recurrence(t, x), start, self.C)
        t.carry(last)
        return t.view(t.working("working", h), B, T, D)

    def _recurrence(self, t: Tape, x: Value) -> tuple[Value, Value]:
        D = self.D
        gates = t.linear("gates", x, 2 * D, note="W_a x, W_x x: two products per token")
        r, i = t.parts(t.float32("gates_float32", gates), x.shape, x.shape)
        del gates
        log_a = t.multiply("log_decay", t.unary("recurrence_gate", r, "sigmoid"), self._rate(t))
        share = t.unary("new_share", self._new(t, log_a), "sqrt", "√(1 − a²)")
        a = t.unary("decay_of_token", log_a, "exp", "a_t")
        new = t.multiply("gated_input", t.unary("input_gate", i, "sigmoid"), t.float32("x_float32", x))
        return a, t.multiply("input", share, new)

    def _rate(self, t: Tape) -> Value:
        decay = t.unary("decay", t.float32("decay_float32", t.weight(self.D)), "softplus")
        return t.unary("rate", decay, "scale", "−8 softplus(Λ)")

    @staticmethod
    def _new(t: Tape, log_a: Value) -> Value:
        square = t.unary("kept_share", t.unary("log_square", log_a, "scale-whole", "log a²"), "expm1", "a² − 1")
        return t.unary("complement", square, "complement", "1 − a²")

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, hidden=(run.B * self.D * run.state_itemsize, "h"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, recurrence=(run.T, "a step of the recurrence a token between the first and the last"))
