"""From exact values at a few lengths to the polynomial behind them, or an honest refusal.

`lift` samples a cost at whole lengths and interpolates with rational arithmetic; at least one spare point that was
not used must agree, else there is no polynomial. This is how both wings answer "as a function of T" exactly:
a trace, which only knows numbers, and a formula, when SymPy is not worth its import.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

MAX_DEGREE = 4
SPARE_POINTS = 2


@dataclass(frozen=True)
class Polynomial:
    """An exact polynomial in one letter; coefficients ascending."""

    variable: str
    coefficients: tuple[Fraction, ...]
    valid_from: int = 1
    exact: bool = True

    def __call__(self, value: int) -> Fraction:
        """Value of the polynomial at a size."""
        return sum((c * value**power for power, c in enumerate(self.coefficients)), start=Fraction(0))

    @property
    def degree(self) -> int:
        """Highest power with a coefficient other than 0."""
        return len(self.coefficients) - 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data; coefficients as exact strings, ascending."""
        return {
            "variable": self.variable,
            "coefficients": [str(c) for c in self.coefficients],
            "valid_from": self.valid_from,
            "exact": self.exact,
        }

    def __str__(self) -> str:
        terms = [
            f"{c if p == 0 or c != 1 else ''}{'·' if p and c != 1 else ''}{self.variable if p else ''}"
            f"{'' if p < 2 else '²³⁴'[p - 2] if p < 5 else f'^{p}'}"
            for p, c in reversed(list(enumerate(self.coefficients)))
            if c != 0
        ]
        return " + ".join(terms).replace("+ -", "- ") or "0"


@dataclass(frozen=True)
class Samples:
    """What was seen where no polynomial fits: values at lengths, never a formula."""

    variable: str
    values: Mapping[int, Fraction]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data, marked as not exact."""
        return {
            "variable": self.variable,
            "samples": {str(n): str(v) for n, v in sorted(self.values.items())},
            "exact": False,
            "reason": self.reason,
        }


def interpolate(points: Sequence[tuple[int, Fraction]]) -> tuple[Fraction, ...]:
    """Ascending coefficients of the polynomial of least degree through the points (Newton's divided differences)."""
    xs = [x for x, _ in points]
    table = [Fraction(y) for _, y in points]
    for level in range(1, len(points)):
        for i in range(len(points) - 1, level - 1, -1):
            table[i] = (table[i] - table[i - 1]) / (xs[i] - xs[i - level])
    coefficients = [Fraction(0)]
    for x, newton in zip(reversed(xs), reversed(table), strict=True):
        shifted = [Fraction(0), *coefficients]
        coefficients = [s - x * c for s, c in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
        coefficients[0] += newton
    while len(coefficients) > 1 and coefficients[-1] == 0:
        coefficients.pop()
    return tuple(coefficients)


def fit(values: Mapping[int, int | Fraction], variable: str = "T", *, spare: int = 1) -> Polynomial | Samples:
    """Polynomial through all the values, if it leaves at least `spare` of them as confirmation.

    `valid_from` is the smallest length that was seen to agree; lengths below may differ and are not claimed.
    """
    points = sorted((n, Fraction(v)) for n, v in values.items())
    coefficients = interpolate(points)
    most_terms = min(len(points) - spare, MAX_DEGREE + 1)
    if len(coefficients) <= most_terms:
        return Polynomial(variable, coefficients, valid_from=points[0][0])
    reason = f"no polynomial of degree {most_terms - 1} or less passes through {len(points)} lengths"
    return Samples(variable, dict(points), reason)


def lift(
    cost: Callable[[int], int | Fraction], lengths: Sequence[int], variable: str = "T", *, spare: int = SPARE_POINTS
) -> Polynomial | Samples:
    """Fit `cost` at `lengths`, dropping the shortest ones while they do not agree with the rest.

    Short lengths may follow another branch (a window longer than the text, a look-ahead cut off), so the fit is
    tried from the longest lengths downwards; what remains is valid from its shortest length on.
    """
    values = {n: Fraction(cost(n)) for n in lengths}
    ordered = sorted(values)
    for start in range(len(ordered) - spare - 1):
        fitted = fit({n: values[n] for n in ordered[start:]}, variable, spare=spare)
        if isinstance(fitted, Polynomial):
            return fitted
    return fit(values, variable, spare=spare)
