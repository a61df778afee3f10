"""Token embedding: a look-up. It costs 0 FLOPs; the bytes of the rows that are read and written count."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.operator import ID_BYTES, Operator
from seqcost.formulas.core.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Embedding(Component):
    """Token ids [B,T] → the rows of a table [U,D]."""

    SOURCE: ClassVar[str] = "Vaswani et al. 2017, arXiv 1706.03762, section 3.4"
    EQUATIONS: ClassVar[tuple[str, ...]] = (r"x_t = E_{\mathrm{token}_t}",)

    U: Size
    D: Size

    def __post_init__(self) -> None:
        check_sizes(self, "U", "D")

    @property
    def width_in(self) -> Size:
        return 1

    def params(self) -> Bill:
        return Bill.of(Kind.PARAMETERS, table=(self.U * self.D, "E"))

    def forward(self, run: Workload) -> Iterator[Operator]:
        rows = run.B * run.T
        yield Operator(
            name="look_up", reads=rows * self.D, writes=rows * self.D, other_bytes=rows * ID_BYTES, note="rows of E"
        )

    def backward(self, run: Workload) -> Iterator[Operator]:
        rows = run.B * run.T
        yield Operator(name="look_up_backward", pointwise=rows * self.D, note="dE: g added to the rows that were read")

    def kept_bytes(self, run: Workload) -> Bill:
        return Bill.of(Kind.SAVED, ids=(run.B * run.T * ID_BYTES, "token ids, int64"))
