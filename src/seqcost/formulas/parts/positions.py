"""What tells one position from another where attention does not: learned, sinusoidal, token types.

Each adds a vector to every token. Rotary positions act inside attention instead: see rope.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.ops.rotary import ANGLE_BYTES, angles


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

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        rows = t.part(t.weight(self.M, self.D), t.run.T, self.D, name="table")
        return t.add("add", x, rows, "x + p[P:P+T]")


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

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        if t.run.started:
            return t.add("add", self._scaled(t, x), self._table(t, t.run.T), "+ table [T,D]")
        table = self._table(t, t.run.T)
        return t.add("add", self._scaled(t, x), table, "+ table [T,D]")

    @staticmethod
    def _scaled(t: Tape, x: Value) -> Value:
        return t.unary("scale", x, "scale", "√D x")

    def _table(self, t: Tape, T: Size) -> Value:
        angle = angles(t, "", T, self._frequencies(t, exact_div(self.D, 2, "D")))
        return t.cast("cast", self._beside(t, angle, T), None, "table in the working dtype")

    def _beside(self, t: Tape, angle: Value, T: Size) -> Value:
        both = [t.pointwise("sine", [angle], 1, operator="sin"), t.pointwise("cosine", [angle], 1, operator="cos")]
        return t.kernel(
            "join", Kernel.COPY, both, (T, self.D), operator="cat", itemsize=ANGLE_BYTES,
            note="sines and cosines side by side",
        )  # fmt: skip

    @staticmethod
    def _frequencies(t: Tape, half: Size) -> Value:
        """10000^(−2i/D), made on the way."""
        even = [t.constant("features", half, operator="arange", itemsize=ANGLE_BYTES, note="0, 2 … D − 2")]
        minus = [t.pointwise("exponents", [even.pop()], 1, "−2i", operator="neg")]
        share = [t.pointwise("exponents", [minus.pop()], 1, "over D", operator="div", buffer=2 * ANGLE_BYTES)]
        return t.pointwise("frequencies", [share.pop()], 1, "10000^(−2i/D)", operator="pow", buffer=ANGLE_BYTES)


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

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        first = t.select(t.weight(self.A, self.D), 0, name="table")
        return t.add("add", x, first, "x + s of the first segment")
