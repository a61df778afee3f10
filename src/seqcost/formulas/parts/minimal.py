"""The frame of the minimal recurrent layers: gates that see the input alone, then a diagonal linear recurrence.

Gates that do not look at the state make h_t = a_t ⊙ h_{t−1} + b_t, which a scan computes for all tokens at once (Feng
et al. 2024, arXiv 2410.01201).
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_choice, check_sizes, differ
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.scan import check_chunk, linear_scan


@dataclass(frozen=True, kw_only=True)
class Minimal(Component):
    """D width · N hidden width (default D) · C tokens of a chunk of the scan · `project` a product N → D at the end."""

    PIECES: ClassVar[int]  # of N features each, that one product makes of the input
    PIECES_NOTE: ClassVar[str]

    D: Size
    N: Size = None
    C: int = 32
    bias: bool = False
    project: Size = None  # true or false; default: where N and D differ

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.N is None:
            object.__setattr__(self, "N", self.D)
        if self.project is None:
            object.__setattr__(self, "project", differ(self.N, self.D))
        check_sizes(self, "D", "N")
        check_choice(name, "project", self.project, bool)
        check_chunk(name, self.C)

    @property
    def width_out(self) -> Size:
        return self.D if self.project else self.N

    @abstractmethod
    def recurrence(self, t: Tape, pieces: list[Value]) -> tuple[Value, Value]:
        """The pieces of one product → a, b of h = a ⊙ h + b, all of the same shape."""

    def params(self) -> Bill:
        D, N = self.D, self.N
        lines = {"input": (self.PIECES * D * N, self.PIECES_NOTE)}
        if self.bias:
            lines["input_bias"] = (self.PIECES * N, "b")
        if self.project:
            lines["output"] = (N * D, "W_o")
            if self.bias:
                lines["output_bias"] = (D, "b_o")
        return Bill.of(Kind.PARAMETERS, **lines)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, T = x.shape[:2]
        start = t.state("start", B, self.N, operator="full", itemsize=t.wide)
        if t.run.stepping:
            a, b = self.recurrence(t, self._pieces(t, t.view(x, B, self.D)))
            h = last = t.add_product("scan", b, a, start, "h = a ⊙ h + b")
        else:
            h, last = linear_scan(t, *self.recurrence(t, self._pieces(t, x)), start, self.C)
        t.carry(last)
        return t.view(self._out(t, h), B, T, self.width_out)

    def _pieces(self, t: Tape, x: Value) -> list[Value]:
        made = t.linear("input", x, self.PIECES * self.N, bias=self.bias, note=self.PIECES_NOTE)
        return t.parts(t.float32("input_float32", made), *[(*x.shape[:-1], self.N)] * self.PIECES)

    def _out(self, t: Tape, h: Value) -> Value:
        h = t.working("working", h)
        return t.linear("output", h, self.D, bias=self.bias, note="h W_o") if self.project else h

    def state_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.STATE, hidden=(run.B * self.N * run.state_itemsize, "h"))

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, recurrence=(run.T, "a step of the recurrence a token between the first and the last"))


def positive(t: Tape, x: Value) -> Value:
    """The function x + ½ where x ≥ 0, else σ(x): the candidate state kept above 0 (Feng et al. 2024, appendix B.3)."""
    return t.choose(
        "candidate", t.compare("candidate_sign", x, "x ≥ 0", operator="ge"),
        t.unary("candidate_shift", x, "shift", "x + ½"),
        t.unary("candidate_gate", x, "sigmoid", "σ(x)"), "one of the two",
    )  # fmt: skip
