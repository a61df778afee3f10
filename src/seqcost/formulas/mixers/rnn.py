"""Elman's recurrent network: one tanh of two matrix-vector products per token.

On a CPU `torch.nn.RNN` projects all inputs in one product, then executes three operators per token, one after the
other: U h + b', + W x, tanh. Two biases, as PyTorch has them.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.parts.recurrence import Product, check_cell, recurrent


@dataclass(frozen=True, kw_only=True)
class Rnn(Component):
    """h_t = tanh(W x_t + b + U h_{t−1} + b'), y_t = h_t. D input width, N hidden width (default D)."""

    SOURCE: ClassVar[str] = "Elman 1990, Cognitive Science 14(2), 179–211; torch.nn.RNN"
    EQUATIONS: ClassVar[tuple[str, ...]] = (r"h_t = \tanh(W x_t + b + U h_{t-1} + b')",)

    D: Size
    N: Size = None

    def __post_init__(self) -> None:
        check_cell(self)

    @property
    def width_out(self) -> Size:
        return self.N

    def params(self) -> Bill:
        D, N = self.D, self.N
        return Bill.of(
            Kind.PARAMETERS, input=(D * N, "W"), hidden=(N * N, "U"), input_bias=(N, "b"), hidden_bias=(N, "b'")
        )

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        def cell(t: Tape, signal: Value, state: Value, hidden: Product) -> Value:
            return t.unary("tanh", t.plus_into("sum", hidden(state), signal, "W x + U h"), "tanh")

        return recurrent(t, x, self.N, 1, cell, "one matrix-vector product a token")

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, hidden=(run.B * self.N * run.itemsize, "h"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, recurrence=(run.T, "one cell per token between the first and the last"))
