"""Gated recurrent unit, in the form that torch.nn.GRU and cuDNN compute: the reset gate after the product.

n = tanh(W_n x + b_n + r ⊙ (U_n h + b'_n)); Cho et al. 2014 write U_n (r ⊙ h), which is another function with the
same leading cost. On a CPU each token is eleven operators in turn, since PyTorch has no fused GRU kernel there;
where gradients are recorded, autograd copies two buffers more before they are overwritten.
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

GATES = 3


@dataclass(frozen=True, kw_only=True)
class Gru(Component):
    """Reset and update gates over a candidate state. D input width, N hidden width (default D)."""

    SOURCE: ClassVar[str] = "Cho et al. 2014, arXiv 1406.1078, eqs. 5–8, with the reset gate as in torch.nn.GRU"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"r_t = \sigma(W_r x_t + b_r + U_r h_{t-1} + b'_r)",
        r"z_t = \sigma(W_z x_t + b_z + U_z h_{t-1} + b'_z)",
        r"n_t = \tanh(W_n x_t + b_n + r_t \odot (U_n h_{t-1} + b'_n))",
        r"h_t = (1 - z_t) \odot n_t + z_t \odot h_{t-1}",
    )

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
            Kind.PARAMETERS,
            input=(GATES * D * N, "W_r, W_z, W_n"),
            hidden=(GATES * N * N, "U_r, U_z, U_n"),
            input_bias=(GATES * N, "b"),
            hidden_bias=(GATES * N, "b'"),
        )

    def forward(self, run: Workload) -> Iterator[Operator]:
        B, T, D, N = run.B, run.T, self.D, self.N
        yield copy("time_first", B * T * D, "[B,T,D] to [T,B,D]")
        if not run.started:
            yield Operator(name="start", writes=B * N, steps=0, note="h_0 = 0")
        yield linear("input", T * B, D, GATES * N, bias=True, note="W x_t + b: three matrix-vector products a token")
        yield hidden_product(B, T, N, GATES, "U h + b': three matrix-vector products a token")
        n = B * N
        # Four updates in place of one buffer, the two gates: an update waits for the one before it.
        yield elementwise("gate_sums", n, 1, operands=2, note="r and z: W x + U h").repeated(2 * T)
        yield elementwise("gates", n, pointwise.SIGMOID, note="σ").repeated(2 * T)
        yield elementwise("reset", n, 1, operands=2, note="r ⊙ (U_n h + b'_n)").repeated(T)
        yield elementwise("candidate_sum", n, 1, operands=2, note="+ W_n x").repeated(T)
        yield elementwise("candidate", n, pointwise.TANH, note="tanh").repeated(T)
        yield elementwise("difference", n, 1, operands=2, note="h − n").repeated(T)
        yield elementwise("update", n, 1, operands=2, note="z ⊙ (h − n)").repeated(T)
        yield elementwise("state", n, 1, operands=2, note="+ n").repeated(T)
        yield from join_steps(B, T, N)

    def backward(self, run: Workload) -> Iterator[Operator]:
        B, T, D, N = run.B, run.T, self.D, self.N
        n = B * T * N
        gates = 2 * pointwise.SIGMOID_BACKWARD + pointwise.TANH_BACKWARD
        yield Operator(name="gates_backward", pointwise=n * gates, note="σ and tanh")
        to_first = B * N  # h_0 = 0 takes no gradient
        yield Operator(name="products_backward", pointwise=7 * n - to_first, note="through ⊙, − and +")
        yield from hidden_backward(B, T, N, GATES)
        yield from linear_backward("input", T * B, D, GATES * N, bias=True)

    def kept_bytes(self, run: Workload) -> Bill:
        B, T, size = run.B, run.T, run.itemsize
        n = B * T * self.N * size
        return Bill.of(
            Kind.SAVED,
            time_first=(B * T * self.D * size, "x in [T,B,D]"),
            gates=(GATES * n, "r, z and U_n h + b'_n of each token"),
            reset=(n, "U_n h + b'_n, copied by autograd"),
            candidate=(n, "n"),
            difference=(n, "h − n, copied by autograd"),
            hidden=(n, "h_0 … h_{T−1}"),
        )

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, hidden=(run.B * self.N * run.itemsize, "h"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, recurrence=(run.T, "a cell a token between the first and the last"))
