"""Token embedding: a look-up. It costs 0 FLOPs; the bytes of the rows that are read and written count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import ID_BYTES


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

    def input(self, t: Tape) -> Value:
        return t.resident("ids", (t.run.B, t.run.T), belongs="input", itemsize=ID_BYTES, flows=False, on_chain=True)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        return look_up(t, "look_up", x, t.shared("table", self.U, self.D), "rows of E")


def look_up(t: Tape, name: str, ids: Value, table: Value, note: str = "") -> Value:
    """The rows of a table [U,D] that ids name: torch.nn.functional.embedding; backward they are added to zeros."""
    U, D = table.shape
    n = ids.numel * D

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        (which,) = kept
        return [None, t.kernel(
            f"{name}_backward", Kernel.SCATTER, [g, which], (U, D), operator="embedding_dense_backward", sizes=(n,),
            pointwise=n, note="g added to the rows that were read",
        )]  # fmt: skip

    return t.kernel(
        name, Kernel.GATHER, [ids, table], (*ids.shape, D), operator="embedding", sizes=(n,), reads=[ids.numel, n],
        backward=backward, keeps=[(ids, None)], note=note,
    )  # fmt: skip
