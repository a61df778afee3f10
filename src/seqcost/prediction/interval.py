"""A number that is not known exactly: its best guess and the spread around it, on a logarithmic scale.

Times are positive and err by factors, so a spread is the standard deviation of the logarithm. Spreads of parts that
err together add; of parts that err apart, their squares do. Not covered: skewed spreads.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

NINETY = 1.6449  # standard deviations on either side that hold 90 % of a normal distribution
HALF = 0.6745  # the same of 50 %: the median of how far it strays


@dataclass(frozen=True, slots=True)
class Interval:
    """From low to high with 90 % confidence; `mid` is the best guess. Seconds, unless said otherwise."""

    low: float
    mid: float
    high: float

    @classmethod
    def around(cls, mid: float, spread: float) -> "Interval":
        """The 90 % interval of a guess whose logarithm strays by `spread` (one standard deviation)."""
        factor = math.exp(NINETY * spread)
        return cls(mid / factor, mid, mid * factor)

    @property
    def spread(self) -> float:
        """Standard deviation of the logarithm."""
        return math.log(self.high / self.low) / (2 * NINETY) if self.low > 0 else 0.0

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return {"low": self.low, "mid": self.mid, "high": self.high}


def added(parts: Iterable[tuple[str, float, float]], common: float = 0.0) -> Interval:
    """The sum of parts, each (group, guess, spread): those of one group err together, groups err apart.

    `common` is a spread that all share: how the machine itself strays from run to run.
    """
    known = list(parts)
    total = sum(guess for _, guess, _ in known)
    if total <= 0:
        return Interval(0.0, 0.0, 0.0)
    return Interval.around(total, math.hypot(*errors_of(known).values(), total * common) / total)


def errors_of(parts: Iterable[tuple[str, float, float]]) -> dict[str, float]:
    """By how much each group of parts strays together (one standard deviation), in the unit of the guesses."""
    errors: dict[str, float] = {}
    for group, guess, spread in parts:
        errors[group] = errors.get(group, 0.0) + guess * spread
    return errors
