"""LayerNorm and RMSNorm.

LayerNorm is one fused kernel. RMSNorm on a CPU is not: PyTorch executes pow, mean, add ε, rsqrt and two products,
and keeps the normalised x besides x; the lines below say so.

Not covered: what RMSNorm keeps in bfloat16 on a CPU, where PyTorch works on a float32 copy of x and keeps that instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.operator import Operator, elementwise
from seqcost.formulas.core.workload import Workload


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
    def keeps_input(self) -> bool:
        return True

    @property
    def shifts(self) -> int:
        """1 where a β is added."""
        return 1 if self.kind == "layer" and self.bias else 0

    def params(self) -> Bill:
        if self.shifts:
            return Bill.of(Kind.PARAMETERS, gain=(self.D, "γ"), shift=(self.D, "β"))
        return Bill.of(Kind.PARAMETERS, gain=(self.D, "γ"))

    def forward(self, run: Workload) -> Iterator[Operator]:
        rows = run.B * run.T
        n = rows * self.D
        if self.kind == "layer":
            yield Operator(
                name="normalise",
                pointwise=n * (pointwise.NORM + pointwise.SCALE + self.shifts * pointwise.SHIFT),
                reads=n + self.D * (1 + self.shifts),
                writes=n + 2 * rows,  # the mean and 1/deviation of each row
                note="γ (x − μ)/σ + β",
            )
            return
        yield elementwise("square", n, 1, note="x²")
        yield Operator(name="mean", pointwise=n, reads=n, writes=rows, note="mean of x² over D")
        yield elementwise("epsilon", rows, 1, note="+ ε")
        yield elementwise("rsqrt", rows, 1, note="1/√")
        yield Operator(name="divide", pointwise=n, reads=n + rows, writes=n, note="x / rms(x)")
        yield Operator(name="scale", pointwise=n, reads=n + self.D, writes=n, note="× γ")

    def backward(self, run: Workload) -> Iterator[Operator]:
        rows = run.B * run.T
        n = rows * self.D
        if self.kind == "layer":
            gains = pointwise.SCALE_BACKWARD + self.shifts * pointwise.SHIFT_BACKWARD
            yield Operator(
                name="normalise_backward", pointwise=n * (pointwise.NORM_BACKWARD + gains), note="dx, dγ, dβ"
            )
            return
        yield Operator(name="scale_backward", pointwise=3 * n, note="g γ; dγ = Σ g x̂")
        yield Operator(name="divide_backward", pointwise=3 * n, note="g / rms; Σ g x over D")
        yield Operator(name="rsqrt_backward", pointwise=3 * rows, note="−½ r³")
        yield Operator(name="mean_backward", pointwise=n, note="/ D")
        yield Operator(name="square_backward", pointwise=3 * n, note="2 x g")
        yield Operator(name="sum", pointwise=n, note="both ways into x")

    def kept_bytes(self, run: Workload) -> Bill:
        rows = run.B * run.T
        if self.kind == "layer":
            return Bill.of(Kind.SAVED, statistics=(2 * rows * run.itemsize, "mean and 1/σ of each row"))
        return Bill.of(
            Kind.SAVED,
            statistics=(rows * run.itemsize, "1/rms of each row"),
            normalised=(rows * self.D * run.itemsize, "x / rms(x), for dγ"),
        )
