"""What tells one position from another where attention does not: learned, sinusoidal, token types.

Each adds a vector to every token. Rotary positions act inside attention instead: see rope.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.operator import Operator, elementwise
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.parts.rope import ANGLE_BYTES


@dataclass(frozen=True, kw_only=True)
class LearnedPositions(Component):
    """x + the first T rows (from P on, with a carried state) of a table [M,D]."""

    SOURCE: ClassVar[str] = "Gehring et al. 2017, arXiv 1705.03122, section 3.1"
    EQUATIONS: ClassVar[tuple[str, ...]] = (r"x_t \leftarrow x_t + p_t",)

    M: Size
    D: Size

    def __post_init__(self) -> None:
        check_sizes(self, "M", "D")

    def params(self) -> Bill:
        return Bill.of(Kind.PARAMETERS, table=(self.M * self.D, "p"))

    def forward(self, run: Workload) -> Iterator[Operator]:
        n = run.B * run.T * self.D
        yield Operator(name="add", pointwise=n, reads=n + run.T * self.D, writes=n, note="x + p[P:P+T]")

    def backward(self, run: Workload) -> Iterator[Operator]:
        yield Operator(name="table", pointwise=run.B * run.T * self.D, note="Σ g over B")

    def kept_bytes(self, run: Workload) -> Bill:
        return Bill()


@dataclass(frozen=True, kw_only=True)
class SinusoidalPositions(Component):
    """√D·x + sines and cosines of the position; no parameters, any length."""

    SOURCE: ClassVar[str] = "Vaswani et al. 2017, arXiv 1706.03762, sections 3.4 and 3.5"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"x_t \leftarrow \sqrt{D}\, x_t + [\sin(t\,\omega_i), \cos(t\,\omega_i)]_i,\quad \omega_i = 10000^{-2i/D}",
    )

    D: Size

    def __post_init__(self) -> None:
        check_sizes(self, "D")
        exact_div(self.D, 2, "sinusoidal positions: width D")

    def params(self) -> Bill:
        return Bill()

    def forward(self, run: Workload) -> Iterator[Operator]:
        n = run.B * run.T * self.D
        half = exact_div(run.T * self.D, 2, "T·D")
        frequencies = exact_div(self.D, 2, "D")
        table = {
            "features": (0, frequencies, "0, 2 … D − 2"),
            "exponents": (2 * frequencies, 4 * frequencies, "−2i/D"),
            "frequencies": (frequencies, 2 * frequencies, "10000^(−2i/D)"),
            "positions": (0, run.T, "P … P + T − 1"),
            "angles": (half, run.T + exact_div(self.D, 2, "D") + half, "position × frequency"),
            "sine": (half, 2 * half, ""),
            "cosine": (half, 2 * half, ""),
            "join": (0, 4 * half, "sines and cosines side by side"),
        }
        yield elementwise("scale", n, 1, note="√D x")
        for name, (operations, elements, note) in table.items():
            yield Operator(name=name, pointwise=operations, other_bytes=elements * ANGLE_BYTES, steps=0, note=note)
        if run.itemsize != ANGLE_BYTES:
            cast = run.T * self.D * (ANGLE_BYTES + run.itemsize)
            yield Operator(name="cast", other_bytes=cast, steps=0, note="table in the working dtype")
        yield Operator(name="add", pointwise=n, reads=n + run.T * self.D, writes=n, note="+ table [T,D]")

    def backward(self, run: Workload) -> Iterator[Operator]:
        yield Operator(name="scale_backward", pointwise=run.B * run.T * self.D, note="√D g")

    def kept_bytes(self, run: Workload) -> Bill:
        return Bill()


@dataclass(frozen=True, kw_only=True)
class TokenType(Component):
    """x + the embedding of its segment (BERT's two sentences); A rows of which each token reads one."""

    SOURCE: ClassVar[str] = "Devlin et al. 2018, arXiv 1810.04805, figure 2"
    EQUATIONS: ClassVar[tuple[str, ...]] = (r"x_t \leftarrow x_t + s_{\mathrm{segment}(t)}",)

    A: Size
    D: Size

    def __post_init__(self) -> None:
        check_sizes(self, "A", "D")

    def params(self) -> Bill:
        return Bill.of(Kind.PARAMETERS, table=(self.A * self.D, "s"))

    def forward(self, run: Workload) -> Iterator[Operator]:
        n = run.B * run.T * self.D
        yield Operator(name="add", pointwise=n, reads=n + self.D, writes=n, note="x + s of the first segment")

    def backward(self, run: Workload) -> Iterator[Operator]:
        yield Operator(name="table", pointwise=run.B * run.T * self.D, note="Σ g over B and T")

    def kept_bytes(self, run: Workload) -> Bill:
        return Bill()
