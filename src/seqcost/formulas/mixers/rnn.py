"""Elman's recurrent network: one tanh of two matrix-vector products a token.

On a CPU `torch.nn.RNN` projects all inputs in one product, then executes three operators a token, one after the
other: U h + b', + W x, tanh. Two biases, as PyTorch has them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.operator import Operator, copy, elementwise, linear, linear_backward
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.parts.recurrence import check_cell, hidden_backward, hidden_product, join_steps


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

    def forward(self, run: Workload) -> Iterator[Operator]:
        B, T, D, N = run.B, run.T, self.D, self.N
        yield copy("time_first", B * T * D, "[B,T,D] to [T,B,D]")
        if not run.started:
            yield Operator(name="start", writes=B * N, steps=0, note="h_0 = 0")
        yield linear("input", T * B, D, N, bias=True, note="W x_t + b: one matrix-vector product a token")
        yield hidden_product(B, T, N, 1, "U h + b': one matrix-vector product a token")
        yield elementwise("sum", B * N, 1, operands=2, note="W x + U h").repeated(T)
        yield elementwise("tanh", B * N, pointwise.TANH).repeated(T)
        yield from join_steps(B, T, N)

    def backward(self, run: Workload) -> Iterator[Operator]:
        B, T, D, N = run.B, run.T, self.D, self.N
        yield Operator(name="tanh_backward", pointwise=pointwise.TANH_BACKWARD * B * T * N, note="g (1 − h²)")
        yield from hidden_backward(B, T, N, 1)
        yield from linear_backward("input", T * B, D, N, bias=True)

    def kept_bytes(self, run: Workload) -> Bill:
        B, T, size = run.B, run.T, run.itemsize
        return Bill.of(
            Kind.SAVED,
            time_first=(B * T * self.D * size, "x in [T,B,D]"),
            hidden=(B * (T + 1) * self.N * size, "h_0 … h_T, the results of tanh"),
        )

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, hidden=(run.B * self.N * run.itemsize, "h"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, recurrence=(run.T, "a cell a token between the first and the last"))
