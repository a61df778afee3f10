"""LayerNorm and RMSNorm.

LayerNorm is one fused kernel. RMSNorm on a CPU is not: PyTorch executes pow, mean, add ε, rsqrt and two products,
and keeps the normalised x besides x; the lines below say so. What is narrower than float32 is copied to that before,
kept so, and copied back.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.ops.row_norms import layer_norm


@dataclass(frozen=True, kw_only=True)
class Norm(Component):
    """Normalisation of each token over its D features, then × γ and (LayerNorm with bias) + β."""

    SOURCE: ClassVar[str] = "Ba et al. 2016, arXiv 1607.06450, eq. 4; Zhang & Sennrich 2019, arXiv 1910.07467, eq. 4"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"\mathrm{LayerNorm}(x) = \gamma \odot \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta",
        r"\mathrm{RMSNorm}(x) = \gamma \odot \frac{x}{\sqrt{\frac{1}{D}\sum_i x_i^2 + \epsilon}}",
    )
    D: Size
    kind: Literal["layer", "rms"] = "layer"
    bias: bool = True  # LayerNorm only
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        check_sizes(self, "D")

    @property
    def shifts(self) -> int:
        """1 where a β is added."""
        return 1 if self.kind == "layer" and self.bias else 0

    def params(self) -> Bill:
        if self.shifts:
            return Bill.of(Kind.PARAMETERS, gain=(self.D, "γ"), shift=(self.D, "β"))
        return Bill.of(Kind.PARAMETERS, gain=(self.D, "γ"))

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        if self.kind == "layer":
            weights = [t.weight(self.D) for _ in range(1 + self.shifts)]
            return layer_norm(t, "normalise", x, *weights, result="normalised")
        x = t.float32("widen", x)
        square = t.unary("square", x, "square", "x²")
        mean = t.mean("mean", square, -1, keep=True, note="mean of x² over D")
        size = t.unary("rsqrt", t.shift_into("epsilon", mean, "+ ε"), "rsqrt", "1/√")
        del square, mean  # one expression of C++: its intermediate results are there until its end
        y = t.multiply("scale", t.multiply("divide", x, size, "x / rms(x)"), t.weight(self.D), "× γ")
        return t.working("narrow", y)
