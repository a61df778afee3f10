"""The end of a classifier: one vector per sequence, then a product with the classes.

Not counted: the mask of a padded sequence (`keep`), which the layer takes and the formula's full sequences do not need.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.parts.head import CrossEntropy

Pool = Literal["mean", "first", "last"]


@dataclass(frozen=True, kw_only=True)
class ClassHead(Component):
    """Features [B,T,D] → logits [B, classes]: their mean (or the first, or the last one), then W x + b."""

    SOURCE: ClassVar[str] = (
        "Devlin et al. 2018, arXiv 1810.04805, section 4.1 (first); Lin et al. 2013, arXiv 1312.4400 (mean)"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (r"\mathrm{logits} = W\,\tfrac1T\textstyle\sum_t x_t + b",)

    D: Size
    classes: Size
    pool: Pool = "mean"

    def __post_init__(self) -> None:
        check_sizes(self, "D", "classes")

    @property
    def width_out(self) -> Size:
        return self.classes

    @property
    def pools(self) -> bool:
        return True

    @property
    def gives_logits(self) -> bool:
        return True

    @property
    def decodes(self) -> bool:
        return False

    def params(self) -> Bill:
        return Bill.of(Kind.PARAMETERS, weight=(self.D * self.classes, "W"), bias=(self.classes, "b"))

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        return t.linear("dense", self._pooled(t, x), self.classes, note="x [B,D] @ W [D,classes]")

    def _pooled(self, t: Tape, x: Value) -> Value:
        return t.mean("pool", x, 1, note="Σ x_t / T") if self.pool == "mean" else t.select(x, 1, name="pool")

    def loss(self, t: Tape, y: Value) -> Value:
        return CrossEntropy(U=self.classes).program(t, y)
