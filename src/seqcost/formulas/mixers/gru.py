"""Gated recurrent unit, in the form that torch.nn.GRU and cuDNN compute: the reset gate after the product.

n = tanh(W_n x + b_n + r ⊙ (U_n h + b'_n)); Cho et al. 2014 write U_n (r ⊙ h), which is another function with the
same leading cost. On a CPU each token is eleven operators in turn, since PyTorch has no fused GRU kernel there;
where gradients are recorded, autograd copies two buffers more before they are overwritten.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.parts.recurrence import Product, check_cell, recurrent

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

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        return recurrent(t, x, self.N, GATES, _cell, "three matrix-vector products per token")

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, hidden=(run.B * self.N * run.itemsize, "h"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, recurrence=(run.T, "one cell per token between the first and the last"))


def _cell(t: Tape, signal: Value, state: Value, hidden: Product) -> Value:
    """The update in place of its buffers, as torch.nn.GRU executes it (ATen/native/RNN.cpp, `GRUCell`)."""
    shapes = [state.shape] * GATES
    x_r, x_z, x_n = t.parts(signal, *shapes, name="input_gates")
    u_r, u_z, u_n = t.parts(hidden(state), *shapes, name="hidden_gates")
    r = _gate(t, x_r, u_r)
    z = _gate(t, x_z, u_z)
    n = t.add("candidate_sum", x_n, _times(t, "reset", u_n, r, "r ⊙ (U_n h + b'_n)"), "+ W_n x")
    n = t.into("candidate", n, "tanh", "tanh")
    change = _times(t, "update", t.subtract("difference", state, n, "h − n"), z, "z ⊙ (h − n)")
    return t.plus_into("state", change, n, "+ n")


def _gate(t: Tape, x: Value, u: Value) -> Value:
    return t.into("gates", t.plus_into("gate_sums", u, x, "r and z: W x + U h"), "sigmoid", "σ")


def _times(t: Tape, name: str, a: Value, b: Value, note: str) -> Value:
    """The product a ⊙ b over a, of which autograd copies the numbers that are overwritten."""
    before = t.copy(name, t.detach(a), note="kept for the way back") if t.recording else a

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        db = t.pointwise(f"{name}_db", [g, kept[1]], 1, "g ⊙ a", operator="mul") if wanted[1] else None
        return [t.pointwise(f"{name}_da", [g, kept[0]], 1, "g ⊙ b", operator="mul") if wanted[0] else None, db]

    return t.in_place(name, a, [b], 1, operator="mul", backward=backward, keeps=[(b, 0), (before, 1)], note=note)
