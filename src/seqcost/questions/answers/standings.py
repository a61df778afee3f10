"""Which of two costs more, as measured: told only where their intervals are apart, since noise crosses, too.

At one length a target costs less than another where all of its interval lies below all of the other's; where the two
meet, where one process gave no interval, or where others kept the machine busy, they are not told apart. A crossover is
between two lengths at which they are told apart in opposite orders; the lengths between are not told apart, and named.

Its place: straight lines through what was measured, both axes logarithmic, the medians for the length itself, and for
its interval the bounds: from the length at which the two may have crossed to that at which they must have.

Peak memory is counted by the allocator, not timed: its interval is from the least to the most of the processes.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from seqcost.algebra.quantity import QUANTITIES, Quantity
from seqcost.questions.answers.comparison import Cheapest, Crossover, Standing
from seqcost.records import Pooled

MEET = "their intervals meet"
BUSY = "others kept the machine busy"


class Ran(Protocol):
    """A target at one length, with its record where it was run."""

    @property
    def target(self) -> str:
        """Its name."""

    @property
    def length(self) -> int:
        """Tokens."""

    @property
    def run(self) -> Pooled | None:
        """What was measured."""


Measured = Mapping[str, Mapping[int, Pooled]]  # by target and length, where there is a value


def standings(points: Sequence[Ran]) -> list[Standing]:
    """Every pair in every measured quantity, in the order of the targets."""
    return [
        _standing(quantity, pair, measured)
        for quantity in QUANTITIES.measured()
        for measured in [_measured(points, quantity)]
        for pair in itertools.combinations(measured, 2)
    ]


def crossovers(points: Sequence[Ran], found: Sequence[Standing]) -> list[Crossover]:
    """Where a pair changes its order."""
    by_quantity = {row.name: _measured(points, row) for row in QUANTITIES.measured()}
    return [crossed for standing in found for crossed in _crossed(standing, by_quantity[standing.quantity])]


def cheapest(points: Sequence[Ran]) -> Iterator[Cheapest]:
    """Who costs least, by rising length, and from whom it is not told apart; nothing where some have no value."""
    names = {point.target for point in points}
    for quantity in QUANTITIES.measured():
        measured = _measured(points, quantity)
        if len(measured) < 2 or sum(map(len, measured.values())) < len(points) or names - measured.keys():
            continue
        before: tuple[str, ...] = ()
        shared = set.intersection(*(set(runs) for runs in measured.values()))  # around a crossover only two were run
        for T in sorted(shared):
            at = {name: runs[T] for name, runs in measured.items()}
            if all(run.interval_of(quantity.measured) is None for run in at.values()):
                continue
            least = min(at, key=lambda name: _value(at[name], quantity))
            among = tuple(
                name
                for name in at
                if not any(_order(at[other], at[name], quantity) == -1 for other in at if other != name)
            )
            if among != before:
                yield Cheapest(quantity.name, least, T, exact=False, among=among if len(among) > 1 else ())
            before = among


def between(crossover: Crossover) -> list[int]:
    """Lengths at which its pair is to be run next: in the middle of the gaps next to those at which it is told apart.

    Empty where the lengths lie side by side.
    """
    assert crossover.low is not None
    assert crossover.high is not None
    inner = crossover.untold or (crossover.high,)
    gaps = {(crossover.low, inner[0]), ((crossover.untold or (crossover.low,))[-1], crossover.high)}
    return sorted({round(math.sqrt(low * high)) for low, high in gaps if high - low > 1})


def _measured(points: Sequence[Ran], quantity: Quantity) -> dict[str, dict[int, Pooled]]:
    out: dict[str, dict[int, Pooled]] = {}
    for point in points:
        if point.run is not None and getattr(point.run, quantity.measured):
            out.setdefault(point.target, {})[point.length] = point.run
    return out


def _value(run: Pooled, quantity: Quantity) -> float:
    return float(getattr(run, quantity.measured))


def _order(one: Pooled, other: Pooled, quantity: Quantity) -> int | str:
    """-1 where all of one is below all of the other, 1 where it is above; else why they are not told apart."""
    a, b = one.interval_of(quantity.measured), other.interval_of(quantity.measured)
    if a is None or b is None:
        return (one if a is None else other).interval_basis
    if quantity.unit == "second" and (one.is_disturbed or other.is_disturbed):
        return BUSY
    return -1 if a[1] < b[0] else 1 if b[1] < a[0] else MEET


def _standing(quantity: Quantity, pair: tuple[str, str], measured: Measured) -> Standing:
    one, other = (measured[name] for name in pair)
    orders = {T: _order(one[T], other[T], quantity) for T in sorted(one.keys() & other.keys())}

    def lengths(wanted: int) -> tuple[int, ...]:
        return tuple(T for T, order in orders.items() if order == wanted)

    reasons = {T: order for T, order in orders.items() if isinstance(order, str)}
    return Standing(
        quantity.name, *pair, below=lengths(-1), above=lengths(1), untold=tuple(reasons),
        why=", ".join(dict.fromkeys(reasons.values())),
    )  # fmt: skip


def _crossed(standing: Standing, measured: Measured) -> Iterator[Crossover]:
    told = sorted((T, order) for order, lengths in ((-1, standing.below), (1, standing.above)) for T in lengths)
    for (low, before), (high, after) in itertools.pairwise(told):
        if before == after:
            continue
        rising, other = (standing.one, standing.other) if after > 0 else (standing.other, standing.one)
        untold = tuple(T for T in standing.untold if low < T < high)
        quantity = QUANTITIES[standing.quantity]
        mid, least, most = _place(quantity, measured[rising], measured[other], [low, *untold, high])
        yield Crossover(
            standing.quantity, rising, other, round(mid, 1), "interpolated", low, high,
            length_low=round(least, 1), length_high=round(most, 1), untold=untold,
        )  # fmt: skip


def _place(
    quantity: Quantity, rising: Mapping[int, Pooled], other: Mapping[int, Pooled], lengths: Sequence[int]
) -> tuple[float, float, float]:
    """The length of a crossover, and from which to which it may lie, between the first and the last of the lengths."""
    bounds = []  # of the logarithm of the ratio: at least, at most
    for T in lengths:
        a, b = rising[T].interval_of(quantity.measured), other[T].interval_of(quantity.measured)
        if a is not None and b is not None and _order(rising[T], other[T], quantity) != BUSY:
            bounds.append((T, math.log(a[0] / b[1]), math.log(a[1] / b[0])))
    low, high = lengths[0], lengths[-1]
    # Where they are not told apart 0 lies between the bounds: they may have crossed before the first such length, and
    # must have after the last.
    (first, _, before), (second, _, after) = bounds[:2]
    may = crossing(first, before, second, after)
    (last_but_one, before, _), (last, after, _) = bounds[-2:]
    must = crossing(last_but_one, before, last, after)
    ends = [math.log(_value(rising[T], quantity) / _value(other[T], quantity)) for T in (low, high)]
    return min(max(crossing(low, ends[0], high, ends[1]), may), must), may, must


def crossing(low: int, before: float, high: int, after: float) -> float:
    """Where a straight line over the logarithm of the length is 0."""
    return math.exp(math.log(low) + before / (before - after) * math.log(high / low))
