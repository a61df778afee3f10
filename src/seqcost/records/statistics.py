"""An interval of the median that assumes no distribution, from order statistics.

Of n independent repetitions, the k-th smallest and the k-th largest enclose the median of what they were drawn from
with probability 1 - 2 P(Binomial(n, 1/2) < k), exactly for every continuous distribution (David & Nagaraja, Order
Statistics, 3rd edition, section 7.1). The innermost pair that reaches the wanted confidence is taken, and its real
coverage stated.

Not covered: repetitions that depend on one another (a machine that warms up); stopping as soon as the interval looks
narrow, which lowers the real coverage a little.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

CONFIDENCE = 0.95
MIN_REPETITIONS = 5  # below, even smallest to largest covers less than 90 %: no interval is given


@dataclass(frozen=True)
class Interval:
    """From low to high, and how often such an interval holds the true median."""

    low: float
    high: float
    coverage: float


def median_interval(values: Sequence[float]) -> Interval | None:
    """Interval of the median; at 5 values the whole range, which covers 93.75 %; None below."""
    n = len(values)
    if n < MIN_REPETITIONS:
        return None
    rank = 1
    while rank < (n + 1) // 2 and coverage(n, rank + 1) >= CONFIDENCE:
        rank += 1
    ordered = sorted(values)
    return Interval(ordered[rank - 1], ordered[n - rank], coverage(n, rank))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which such a share of them lies, straight lines between neighbours; of at least one value."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = ordered[int(place)]
    return below + (ordered[min(int(place) + 1, len(ordered) - 1)] - below) * (place - int(place))


def coverage(n: int, rank: int) -> float:
    """Probability that the rank-th smallest and rank-th largest of n values enclose the median."""
    return 1.0 - 2 * sum(comb(n, below) for below in range(rank)) / float(2**n)
