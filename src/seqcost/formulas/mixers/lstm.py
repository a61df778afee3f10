"""Long short-term memory: eight matrix-vector products a token, four of the input and four of the state.

On a CPU in float32 or bfloat16 `torch.nn.LSTM` is one oneDNN kernel over the whole sequence. Its FLOPs are the
textbook's; what it keeps for backward is an opaque workspace, whose size is oneDNN's (see parts/onednn). In float64
PyTorch runs a loop of small operators instead, which is not covered: the products are the same, the memory is not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.operator import Operator, copy
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.parts.onednn import lstm_workspace_bytes
from seqcost.formulas.parts.recurrence import check_cell

GATES = 4


@dataclass(frozen=True, kw_only=True)
class Lstm(Component):
    """Input, forget and output gates around a cell state. D input width, N hidden width (default D)."""

    SOURCE: ClassVar[str] = (
        "Hochreiter & Schmidhuber 1997, Neural Computation 9(8); forget gate: Gers et al. 2000; torch.nn.LSTM"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"i_t = \sigma(W_i x_t + b_i + U_i h_{t-1} + b'_i)",
        r"f_t = \sigma(W_f x_t + b_f + U_f h_{t-1} + b'_f)",
        r"g_t = \tanh(W_g x_t + b_g + U_g h_{t-1} + b'_g)",
        r"o_t = \sigma(W_o x_t + b_o + U_o h_{t-1} + b'_o)",
        r"c_t = f_t \odot c_{t-1} + i_t \odot g_t,\qquad h_t = o_t \odot \tanh(c_t)",
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
            input=(GATES * D * N, "W_i, W_f, W_g, W_o"),
            hidden=(GATES * N * N, "U_i, U_f, U_g, U_o"),
            input_bias=(GATES * N, "b"),
            hidden_bias=(GATES * N, "b'"),
        )

    def forward(self, run: Workload) -> Iterator[Operator]:
        B, T, D, N = run.B, run.T, self.D, self.N
        n = B * T * N
        yield copy("time_first", B * T * D, "[B,T,D] to [T,B,D]")
        if not run.started:
            yield Operator(name="start", writes=2 * B * N, steps=0, note="h_0 = c_0 = 0")
        # One kernel; its lines share the T steps and the traffic out.
        yield Operator(
            name="input",
            contraction=2 * B * T * D * GATES * N,
            reads=B * T * D + GATES * N * (D + 1),
            steps=0,
            note="W x_t + b: four matrix-vector products a token",
        )
        yield Operator(
            name="hidden",
            contraction=2 * B * T * N * GATES * N,
            reads=2 * B * N + GATES * N * (N + 1),
            steps=T,
            note="U h_{t−1} + b': four matrix-vector products a token",
        )
        yield Operator(
            name="cell", pointwise=pointwise.LSTM_CELL * n, writes=n + 2 * B * N, steps=0, note="σ, tanh, c_t and h_t"
        )
        yield copy("last_hidden", B * N, "h_T").beside()
        yield copy("last_cell", B * N, "c_T").beside()
        yield copy("batch_first", n, "[T,B,N] to [B,T,N]")

    def backward(self, run: Workload) -> Iterator[Operator]:
        B, T, D, N = run.B, run.T, self.D, self.N
        n = B * T * N
        yield Operator(
            name="cell_backward", pointwise=pointwise.LSTM_CELL_BACKWARD * n, note="through σ, tanh, ⊙ and +; Σ g"
        )
        for name, width in (("hidden", N), ("input", D)):
            product = 2 * B * T * width * GATES * N
            yield Operator(name=f"{name}_dx", contraction=product, note="g Wᵀ, g Uᵀ")
            yield Operator(name=f"{name}_dw", contraction=product, note="xᵀ g, hᵀ g")

    def kept_bytes(self, run: Workload) -> Bill:
        B, T, D, N, size = run.B, run.T, self.D, self.N, run.itemsize
        return Bill.of(
            Kind.SAVED,
            time_first=(B * T * D * size, "x in [T,B,D]"),
            hidden=(B * T * N * size, "h_1 … h_T"),
            ends=(4 * B * N * size, "h_0, c_0, h_T, c_T"),
            workspace=(lstm_workspace_bytes(B=B, T=T, D=D, N=N, itemsize=size), "oneDNN's own: gates, cells, states"),
        )

    def state_bytes(self, run: Workload) -> Bill:
        one = run.B * self.N * run.itemsize
        return Bill.of(Kind.STATE, hidden=(one, "h"), cell=(one, "c"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, recurrence=(run.T, "a cell a token between the first and the last"))
