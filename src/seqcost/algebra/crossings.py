"""From which length on is one cost greater than another? Exact for whole lengths.

Both costs are functions of a whole number that can be asked exactly. Where both are polynomials the real roots of
their difference say where to look; otherwise every doubling of the length is looked at, so that two crossings within
one doubling could be missed. Either way the answer is the first whole length at which the order has changed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from seqcost.algebra.curve import Curve

Cost = Callable[[int], int | Fraction]

FARTHEST = 2**40  # tokens; beyond a trillion nobody asks


@dataclass(frozen=True)
class Crossing:
    """`length` is the first whole length at which `rising` costs more than `other`."""

    rising: str
    other: str
    length: int


def crossings(
    first: tuple[str, Cost], second: tuple[str, Cost], *, nearest: int = 1, farthest: int = FARTHEST
) -> list[Crossing]:
    """Every change of order between two named costs, from the length `nearest` to `farthest`."""
    (name_a, cost_a), (name_b, cost_b) = first, second

    def sign(length: int) -> int:
        difference = cost_a(length) - cost_b(length)
        return (difference > 0) - (difference < 0)

    out: list[Crossing] = []
    points = [nearest, *(n for n in _where_to_look(cost_a, cost_b, farthest) if n > nearest)]
    order, low = sign(points[0]), points[0]
    for high in points[1:]:
        now = sign(high)
        if now != 0 and order != 0 and now != order:
            changed = _bisect(sign, low, high, order)
            out.append(Crossing(*((name_a, name_b) if now > 0 else (name_b, name_a)), changed))
        if now != 0:
            order, low = now, high
    return out


def _where_to_look(cost_a: Cost, cost_b: Cost, farthest: int) -> list[int]:
    doublings = [2**i for i in range(farthest.bit_length()) if 2**i <= farthest]
    if not (isinstance(cost_a, Curve) and cost_a.is_polynomial and isinstance(cost_b, Curve) and cost_b.is_polynomial):
        return doublings
    near = [int(root) + shift for root in _real_roots(cost_a, cost_b) for shift in (-1, 0, 1, 2)]
    return sorted({*doublings, *(n for n in near if 1 <= n <= farthest)})


def _real_roots(cost_a: Curve, cost_b: Curve) -> Sequence[float]:
    import numpy as np

    size = max(cost_a.degree, cost_b.degree) + 1
    a, b = (list(c.coefficients) + [Fraction(0)] * (size - len(c.coefficients)) for c in (cost_a, cost_b))
    roots = np.roots([float(x - y) for x, y in zip(reversed(a), reversed(b), strict=True)])
    return [float(r.real) for r in roots if abs(r.imag) < 1e-6 * (1 + abs(r.real)) and 1 <= r.real < 2.0**60]


def _bisect(sign: Callable[[int], int], low: int, high: int, order: int) -> int:
    """First length in (low, high] whose sign is neither `order` nor 0."""
    while high - low > 1:
        middle = (low + high) // 2
        if sign(middle) in (order, 0):
            low = middle
        else:
            high = middle
    return high
