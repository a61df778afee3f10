"""LayerNorm and RMSNorm.

LayerNorm is one fused kernel. RMSNorm on a CPU is not: PyTorch executes pow, mean, add ε, rsqrt and two products,
and keeps the normalised x besides x; the lines below say so.

Not covered: what RMSNorm keeps in bfloat16 on a CPU, where PyTorch works on a float32 copy of x and keeps that instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.buffers import layer_norm_backward_bytes
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value, product


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
            return self._layer(t, x)
        square = t.unary("square", x, "square", "x²")
        mean = t.mean("mean", square, -1, keep=True, note="mean of x² over D")
        size = t.unary("rsqrt", t.shift_into("epsilon", mean, "+ ε"), "rsqrt", "1/√")
        del square, mean  # one expression of C++: its intermediate results are there until its end
        return t.multiply("scale", t.multiply("divide", x, size, "x / rms(x)"), t.weight(self.D), "× γ")

    def _layer(self, t: Tape, x: Value) -> Value:
        """One kernel, which gives the mean and 1/σ of each row besides, for the way back."""
        rows, n, shifts, D = product(x.shape[:-1]), x.numel, self.shifts, self.D
        weights = [t.weight(D) for _ in range(1 + shifts)]
        y, mean, deviation = t.new("normalised", x.shape), t.new("statistics", (rows,)), t.new("statistics", (rows,))
        each = pointwise.NORM + pointwise.SCALE + shifts * pointwise.SHIFT
        t.launch(
            "normalise", Kernel.NORM, [x, *weights], [y, mean, deviation], sizes=(rows, D), pointwise=each * n,
            buffer=t.copy_bytes(x), note="γ (x − μ)/σ + β",
        )  # fmt: skip
        back = pointwise.NORM_BACKWARD + pointwise.SCALE_BACKWARD + shifts * pointwise.SHIFT_BACKWARD
        shape = x.shape

        def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            dx = t.new("dx", shape) if wanted[0] else None
            dweights = [t.new("dweight", (D,)) for _ in range(1 + shifts)]
            t.launch(
                "normalise_backward", Kernel.NORM, [g, *kept], [*([] if dx is None else [dx]), *dweights],
                sizes=(rows, D), pointwise=back * n, note="dx, dγ, dβ",
                buffer=layer_norm_backward_bytes(D, t.run.itemsize, t.run.threads) + t.copy_bytes(g, kept[0]),
            )  # fmt: skip
            return [dx, *dweights]

        keeps = [(value, None) for value in (x, mean, deviation, *weights)]
        t.follow("normalise", [x, *weights], [y], backward, keeps)
        return y
