"""Long short-term memory: eight matrix-vector products per token, four of the input and four of the state.

On a CPU in float32 or bfloat16 `torch.nn.LSTM` is one oneDNN kernel over the whole sequence. Its FLOPs are the
textbook's; what it keeps for backward is an opaque workspace, whose size is oneDNN's (see ops/onednn). In float64
PyTorch runs a loop of small operators instead, which is not covered: the products are the same, the memory is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.onednn.lstm import (
    lstm_backward_bytes,
    lstm_forward_bytes,
    lstm_inference_bytes,
    lstm_workspace_bytes,
)
from seqcost.formulas.parts.recurrence import batch_first, check_cell, time_first

GATES = 4
_OPERATOR = "mkldnn_rnn_layer"


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

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        y, h, c = self._in_time(t, time_first(t, x))
        t.carry(h, c)
        return batch_first(t, y)

    def _in_time(self, t: Tape, x: Value) -> tuple[Value, Value, Value]:
        B, N = x.shape[1], self.N
        start = t.state("start_hidden", B, N), t.state("start_cell", B, N)
        y, h, c = self._kernel(t, x, *start)
        return y, t.stacked("last_hidden", h, "h_T"), t.stacked("last_cell", c, "c_T")

    def _kernel(self, t: Tape, x: Value, h: Value, c: Value) -> tuple[Value, Value, Value]:
        """One kernel over the whole sequence; its lines share the T steps and the traffic out."""
        (T, B, D), N, itemsize, threads = x.shape, self.N, t.run.itemsize, t.run.threads
        sizes = {"B": B, "T": T, "D": D, "N": N, "itemsize": itemsize}
        weights = t.weight(GATES * N, D), t.weight(GATES * N, N), t.weight(GATES * N), t.weight(GATES * N)
        results = t.new("hidden", (T, B, N)), t.new("last_hidden", (B, N)), t.new("last_cell", (B, N))
        products = {width: 2 * B * T * width * GATES * N for width in (D, N)}
        workspace = t.new("workspace", (lstm_workspace_bytes(**sizes) if t.recording else 0,), 1)
        taken = lstm_forward_bytes(**sizes) if t.recording else lstm_inference_bytes(**sizes, threads=threads)
        shape = (T, B, D, N)
        t.launch(
            "hidden", Kernel.RECURRENCE, [x, *weights, h, c], [*results, workspace], operator=_OPERATOR, sizes=shape,
            buffer=taken, contraction=products[N], steps=T,
            note="U h_{t−1} + b': four matrix-vector products per token",
        )  # fmt: skip
        t.line(
            "input", Kernel.RECURRENCE, _OPERATOR, shape, contraction=products[D],
            note="W x_t + b: four matrix-vector products per token",
        )  # fmt: skip
        t.line(
            "cell", Kernel.RECURRENCE, _OPERATOR, shape, pointwise=pointwise.LSTM_CELL * B * T * N,
            note="σ, tanh, c_t and h_t",
        )  # fmt: skip

        def backward(t: Tape, gs: Sequence[Any], kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            shapes = [(T, B, D), (4 * N, D), (4 * N, N), (4 * N,), (4 * N,), (B, N), (B, N)]
            names = ("dx", *("dweight",) * 4, "dhidden", "dcell")
            made: list[Any] = [t.new(name, shape, t.wide) for name, shape in zip(names, shapes, strict=True)]
            given = [g for g in gs if g is not None]
            copied: Size = 0
            for g, zeros in zip(gs, (T * B * N, B * N, B * N), strict=True):
                if g is None or not g.in_one_piece:
                    copied = copied + zeros * itemsize
            back = f"{_OPERATOR}_backward"
            t.launch(
                "hidden_backward", Kernel.RECURRENCE, [*kept, *given], made, operator=back, sizes=shape, steps=T,
                contraction=2 * products[N], buffer=lstm_backward_bytes(**sizes, copied=copied), note="g Uᵀ, hᵀ g",
            )  # fmt: skip
            t.line("input_backward", Kernel.RECURRENCE, back, shape, contraction=2 * products[D], note="g Wᵀ, xᵀ g")
            t.line(
                "cell_backward", Kernel.RECURRENCE, back, shape, pointwise=pointwise.LSTM_CELL_BACKWARD * B * T * N,
                note="through σ, tanh, ⊙ and +; Σ g",
            )  # fmt: skip
            return made

        keeps = [(value, None) for value in (x, *weights, h, c, *results, workspace)]
        t.follow("hidden", [x, *weights, h, c], results, backward, keeps, single=False)
        return results

    def state_bytes(self, run: Workload) -> Bill:
        one = run.B * self.N * run.itemsize
        return Bill.of(Kind.STATE, hidden=(one, "h"), cell=(one, "c"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, recurrence=(run.T, "one cell per token between the first and the last"))
