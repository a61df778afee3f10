"""Which costs more from which length on, and who costs least: read off the points of a comparison.

Read off the exact functions of T where every target has one, so that the answer holds between and beyond the lengths
asked for; else off the lengths asked for, and then it says so. What was measured is judged in standings.
"""

import bisect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from seqcost.algebra import Curve
from seqcost.algebra.crossings import FARTHEST, crossings
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.questions.answers.comparison import Balance, Cheapest, Crossover, Dominance, Point

Cost = Callable[[int], Any]


def cheapest(quantity: str, curves: Mapping[str, Any], values: Mapping[str, Mapping[int, Any]]) -> list[Cheapest]:
    """Who costs least of one quantity, by rising length.

    Parameters
    ----------
    quantity
        Its name, for the answer.
    curves
        The function of T of each target, None where it has none.
    values
        The amounts of each target at the lengths asked for, None where they are not known.

    """
    exact = {name: curve for name, curve in curves.items() if curve is not None and curve.exact}
    if len(exact) == len(curves):
        starts = _starts(exact)
        return _runs(quantity, [(T, {name: curve(T) for name, curve in exact.items()}) for T in starts], exact=True)
    known = {name: found for name, found in values.items() if all(value is not None for value in found.values())}
    if len(known) < len(values) or len(known) < 2:
        return []
    lengths = sorted(next(iter(known.values())))
    return _runs(quantity, [(T, {name: found[T] for name, found in known.items()}) for T in lengths], exact=False)


def _starts(curves: Mapping[str, Cost]) -> list[int]:
    """Lengths at which the order of two targets changes, and the first of all at which all functions hold."""
    first = max([1, *(getattr(curve, "valid_from", 1) for curve in curves.values())])
    names = list(curves.items())
    changes = {
        crossed.length
        for i, one in enumerate(names)
        for other in names[i + 1 :]
        for crossed in crossings(one, other)
        if first < crossed.length <= FARTHEST
    }
    return [first, *sorted(changes)]


def _runs(quantity: str, at: Sequence[tuple[int, Mapping[str, Any]]], *, exact: bool) -> list[Cheapest]:
    out: list[Cheapest] = []
    for T, costs in at:
        least = min(costs.values())
        names = [name for name, cost in costs.items() if cost == least]
        if out and out[-1].target in names:
            continue
        out.append(Cheapest(quantity, names[0], T, exact))
    return out


def balance(target: str, flops: Curve | None) -> Balance | None:
    """From which length on the part that grows as T² is more than half of all FLOPs; None where no part does."""
    if flops is None or not flops.is_polynomial or flops.degree != 2:
        return None
    constant, linear, square = flops.coefficients
    if square <= 0 or linear <= 0:
        return None
    # square·T² ≥ linear·T + constant: from the length on at which the first two are equal, the left side gains.
    first = max(1, int(Fraction(linear) / Fraction(square)))

    def reached(T: int) -> bool:
        return bool(square * T * T >= linear * T + constant)

    last = first
    while not reached(last):
        last *= 2
    T = first + bisect.bisect_left(range(first, last), True, key=reached)
    return Balance(target, T)


def solved(points: Sequence[Point]) -> tuple[list[Crossover], list[Dominance]]:
    """Crossovers of every pair from the formulas, wherever both are polynomials in T; or that there is none."""
    first_of = {point.target: point.count for point in reversed(points)}
    found: list[Crossover] = []
    none: list[Dominance] = []
    for quantity in QUANTITIES.names(Told.CURVE, Told.VERDICT):
        curves = {name: c.polynomials.get(quantity) for name, c in first_of.items()}
        exact = {name: curve for name, curve in curves.items() if curve is not None and curve.exact}
        for a, b in itertools.combinations(exact.items(), 2):
            start = max(a[1].valid_from, b[1].valid_from)
            crossed = crossings(a, b, nearest=start)
            found += [Crossover(quantity, c.rising, c.other, c.length, "solved") for c in crossed]
            difference = a[1](FARTHEST) - b[1](FARTHEST)
            if not crossed and difference:
                names = (a[0], b[0]) if difference > 0 else (b[0], a[0])
                none.append(Dominance(quantity, *names, start=start))
    return found, none


def cheapest_of(points: Sequence[Point]) -> Iterator[Cheapest]:
    """Who costs least of each quantity that is counted."""
    names = list(dict.fromkeys(point.target for point in points))
    for quantity in QUANTITIES.names(Told.CURVE, Told.VERDICT):
        curves = {p.target: p.count.polynomials.get(quantity) for p in points}
        values = {name: {p.length: p.count.amount(quantity) for p in points if p.target == name} for name in names}
        yield from cheapest(quantity, curves, values)


def balances(points: Sequence[Point]) -> Iterator[Balance]:
    """Of each target that has one."""
    for point in {p.target: p for p in points}.values():
        found = balance(point.target, point.count.polynomials.get("flops"))
        if found is not None:
            yield found
