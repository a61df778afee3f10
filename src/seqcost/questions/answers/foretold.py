"""Which of two takes longer, as predicted for a machine: told only where the interval of their ratio leaves 1 out.

What both predictions share (kernels of one series, calls, the machine from run to run) is counted once, see
`prediction.apart`: two targets can be told apart although their own intervals overlap.

A crossover is where the predicted times themselves cross, between lengths asked for, on straight lines with both axes
logarithmic. It may lie from where the ratio may first be 1 to where it must have been; a side on which the two are
nowhere told apart has no bound. Where they are told apart at no length there is no crossover.
"""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from seqcost.prediction import Interval, ratio
from seqcost.questions.answers.comparison import Cheapest, Comparison, Crossover, Standing
from seqcost.questions.answers.prediction import Prediction
from seqcost.questions.answers.standings import crossing
from seqcost.questions.asked.request import Request

QUANTITY = "predicted time"
REFINED = 4  # further runs around a crossover that a measurement is advised to make
UNSURE = "the interval of their ratio holds 1"


class Foretold(Protocol):
    """A target at one length, with what was predicted for it."""

    @property
    def target(self) -> str:
        """Its name."""

    @property
    def length(self) -> int:
        """Tokens."""

    @property
    def predicted(self) -> Prediction | None:
        """On the machine that was asked about."""


@dataclass(frozen=True)
class Pair:
    """Two targets, and the ratio of their times by length, shortest first."""

    one: str
    other: str
    ratios: Mapping[int, Interval]

    def order(self, length: int) -> int:
        """-1 where `one` surely takes less, 1 where it takes more, 0 where that is not told."""
        found = self.ratios[length]
        return -1 if found.high < 1 else 1 if found.low > 1 else 0

    @property
    def standing(self) -> Standing:
        """At which lengths which takes longer."""
        below, above, untold = (tuple(T for T in self.ratios if self.order(T) == way) for way in (-1, 1, 0))
        return Standing(QUANTITY, self.one, self.other, below, above, untold, UNSURE if untold else "")

    def crossovers(self) -> Iterator[Crossover]:
        """Where the times cross, from one stretch of lengths at which the two are told apart to the next."""
        logs = {T: math.log(found.mid) for T, found in self.ratios.items()}
        changes = [(a, b) for a, b in itertools.pairwise(logs) if (logs[a] < 0) != (logs[b] < 0)]
        told = [T for T in self.ratios if self.order(T)]
        for (low, high), found in itertools.groupby(changes, lambda pair: _between(pair, told)):
            between = list(found)
            if (low, high) == (None, None) or len(between) % 2 == 0:
                continue
            left, right = between[len(between) // 2]
            rising, other = (self.one, self.other) if logs[right] > logs[left] else (self.other, self.one)
            length = crossing(left, logs[left], right, logs[right])
            least, most = self._bounds(low, high, upwards=rising == self.one)
            yield Crossover(
                QUANTITY, rising, other, round(length, 1), "predicted", low, high,
                length_low=None if least is None else round(min(least, length), 1),
                length_high=None if most is None else round(max(most, length), 1),
                untold=tuple(T for T in self.ratios if (low or 0) < T < (high or math.inf)),
            )  # fmt: skip

    def _bounds(self, low: int | None, high: int | None, *, upwards: bool) -> tuple[float | None, float | None]:
        """From where the ratio may be 1 to where it must have been."""
        lengths = list(self.ratios)
        near, far = ("high", "low") if upwards else ("low", "high")

        def zero(first: int, second: int, side: str) -> float:
            a, b = (math.log(getattr(self.ratios[T], side)) for T in (first, second))
            return crossing(first, a, second, b)

        least = None if low is None else zero(low, lengths[lengths.index(low) + 1], near)
        most = None if high is None else zero(lengths[lengths.index(high) - 1], high, far)
        return least, most


def pairs(points: Sequence[Foretold]) -> list[Pair]:
    """Every two targets, in their order, at the lengths at which both were predicted."""
    runs: dict[str, dict[int, Prediction]] = {}
    for point in sorted(points, key=lambda point: point.length):
        if point.predicted is not None and point.predicted.seconds.mid:
            runs.setdefault(point.target, {})[point.length] = point.predicted
    names = [name for name in dict.fromkeys(point.target for point in points) if name in runs]
    return [
        Pair(a, b, {T: ratio(runs[a][T].timed, runs[b][T].timed) for T in runs[a] if T in runs[b]})
        for a, b in itertools.combinations(names, 2)
    ]


def quickest(points: Sequence[Foretold], found: Sequence[Pair]) -> Iterator[Cheapest]:
    """Who takes least, by rising length, and from whom that is not told apart."""
    times: dict[int, dict[str, float]] = {}
    for point in points:
        if point.predicted is not None:
            times.setdefault(point.length, {})[point.target] = point.predicted.seconds.mid
    if len({point.target for point in points}) < 2:
        return
    before: tuple[str, ...] = ()
    for T, at in sorted(times.items()):
        slower = {pair.one if pair.order(T) > 0 else pair.other for pair in found if T in pair.ratios and pair.order(T)}
        among = tuple(name for name in at if name not in slower)
        if among != before:
            yield Cheapest(QUANTITY, min(at, key=at.__getitem__), T, exact=False, among=among if among[1:] else ())
        before = among


def _between(change: tuple[int, int], told: Sequence[int]) -> tuple[int | None, int | None]:
    """The lengths around a change at which the two are told apart."""
    return max((T for T in told if change[0] >= T), default=None), min(
        (T for T in told if change[1] <= T), default=None
    )


def confirming(answer: Comparison, request: Request, sizes: Mapping[str, Any]) -> str | None:
    """The command that runs the pair of the first crossover around it; None where all is told.

    Without a crossover it is all targets over all lengths, which tell what predictions do not.
    """
    crossed = next((found for found in answer.crossovers if found.quantity == QUANTITY), None)
    untold = any(row.untold for row in answer.standings if row.quantity == QUANTITY)
    if crossed is None and not untold:
        return None
    names, low, high = list(answer.targets), float(min(answer.lengths)), float(max(answer.lengths))
    if crossed is not None:
        names = [name for name in names if name in (crossed.rising, crossed.other)]
        low, high = crossed.length_low or low, crossed.length_high or high
    first, last = 2 ** math.floor(math.log2(low)), 2 ** math.ceil(math.log2(high))
    words = [
        "seqcost measure", *names, f"--lengths {first}..{last}", f"--refine {REFINED}", f"--batch {request.B or 1}",
        f"--phase {request.phase}", f"--dtype {request.dtype or 'float32'}",
        *(f"--set {letter}={value}" for letter, value in sizes.items()),
    ]  # fmt: skip
    return " ".join(words)
