"""The largest size whose cost stays within a limit, shown by the next size, whose cost does not.

A cost is a whole number by size: bytes of a peak, nanoseconds. It comes from a formula (milliseconds a look) or from a
trace (seconds a look), so looks are few: secants towards the limit, doubled steps around where they end, then
straight lines between both sides, and halves where those do not help.

The search takes the cost to grow with the size. Where it does not (a kernel that changes its form, a tensor that is
there at some sizes only) the answer is still true of itself and of the next size; what was seen to contradict is told.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isqrt

MOST = 2**40  # sizes beyond are not looked at: what fits there fits at any that somebody will ask for
_SECANTS = 16
_FURTHEST = 16  # times as far a secant may lead: through small sizes it knows little of a square


@dataclass(frozen=True, kw_only=True)
class Largest:
    """The largest size that fits, and the looks that show it.

    `size` is None where not even the `smallest` fits. `next_size` is the one after it, which does not fit; None where
    the sizes end with `size`. `looks` has the cost of every size that was looked at.
    """

    size: int | None
    next_size: int | None
    smallest: int
    limit: int
    looks: Mapping[int, int]

    @property
    def cost(self) -> int:
        """At the size; where nothing fits, at the smallest."""
        return self.looks[self.smallest if self.size is None else self.size]

    @property
    def next_cost(self) -> int | None:
        """At the next size; None where there is none."""
        return None if self.next_size is None else self.looks[self.next_size]

    @property
    def fits_again(self) -> int | None:
        """A larger size that fits although the next one does not; None where none was seen."""
        if self.next_size is None:
            return None
        again = [size for size, cost in self.looks.items() if size > self.next_size and cost <= self.limit]
        return min(again, default=None)

    @property
    def fails_before(self) -> int | None:
        """A smaller size that does not fit although the size does; None where none was seen."""
        if self.size is None:
            return None
        before = [size for size, cost in self.looks.items() if size < self.size and cost > self.limit]
        return max(before, default=None)


def largest(
    cost: Callable[[int], int],
    limit: int,
    *,
    step: int = 1,
    last: int | None = None,
    guess: int | None = None,
    known: Mapping[int, int] | None = None,
    beyond: Callable[[int], Iterable[int]] | None = None,
) -> Largest:
    """The largest multiple of `step`, at most `last`, whose cost is within the limit.

    Parameters
    ----------
    cost
        Of a size; asked once for each.
    limit
        What it may be at most.
    step, last
        The sizes that there are: step, 2·step, … up to `last` (None: up to 2⁴⁰).
    guess
        Where the answer is likely to be; without one it is approached by secants.
    known
        Costs of sizes that were looked at before.
    beyond
        Sizes to look at besides, once the answer is known: where the cost might fall again.

    Examples
    --------
    >>> found = largest(lambda n: 3 * n * n + 5, 1000)
    >>> found.size, found.cost, found.next_cost
    (18, 977, 1088)

    """
    end = (MOST if last is None else last) // step
    assert end >= 1, "no size at all"
    looks = {size: paid for size, paid in (known or {}).items() if size % step == 0 and size <= end * step}

    def look(k: int) -> int:
        if k * step not in looks:
            looks[k * step] = cost(k * step)
        return looks[k * step]

    start = min(max(1, guess // step), end) if guess is not None else _approached(look, limit, end)
    low, high = _bracket(look, limit, start, end, [size // step for size in looks])
    interpolate = True
    while high is not None and high - low > 1:
        before = high - low
        k = _between(low, high, look, limit) if interpolate and low else _middle(low, high)
        if look(k) <= limit:
            low = k
        else:
            high = k
        interpolate = 2 * (high - low) <= before or not interpolate
    size, next_size = low * step or None, None if high is None else high * step
    if size is not None and beyond is not None and next_size is not None:
        for further in beyond(size):
            if further % step == 0 and next_size < further <= end * step:
                look(further // step)
    return Largest(size=size, next_size=next_size, smallest=step, limit=limit, looks=looks)


def _approached(look: Callable[[int], int], limit: int, end: int) -> int:
    """Where secants through the last two looks meet the limit."""
    a, b = 1, min(64, end)
    for _ in range(_SECANTS):
        rise = look(b) - look(a)
        if a == b or (look(b) <= limit and b == end):
            break
        left = limit - look(b)
        if rise * (b - a) > 0:
            wanted = min(b + left * (b - a) // rise, _FURTHEST * b)
        elif left >= 0:  # flat as far as was seen
            wanted = end if look(end) <= limit else _FURTHEST * b
        else:
            wanted = 1
        wanted = min(max(1, wanted), end)
        if wanted in (a, b):
            break
        a, b = b, wanted
    return b


def _bracket(
    look: Callable[[int], int], limit: int, start: int, end: int, seen: Iterable[int]
) -> tuple[int, int | None]:
    """A size that fits (0: none) and a larger one that does not (None: none).

    The neighbour of the start is asked first, since a guess is mostly right; then what was `seen`, then doubled steps.
    """
    if look(start) <= limit:
        low, width = start, 1
        above = [k for k in seen if k > start and look(k) > limit]
        while low < end:
            k = min([low + width, end, *above])
            if look(k) > limit:
                return low, k
            low, width = k, min(above, default=k + 2 * width) - k
        return low, None
    high, width = start, 1
    below = [k for k in seen if k < start and look(k) <= limit]
    while high > 1:
        k = max([high - width, 1, *below])
        if look(k) <= limit:
            return k, high
        high, width = k, k - max(below, default=k - 2 * width)
    return 0, high


def _middle(low: int, high: int) -> int:
    """Between both, in their logarithms where they are far apart."""
    return isqrt(low * high) if low and high > 4 * low else (low + high) // 2


def _between(low: int, high: int, look: Callable[[int], int], limit: int) -> int:
    """Where a straight line between both costs meets the limit, or the size after it."""
    k = low + (limit - look(low)) * (high - low) // (look(high) - look(low))
    return min(max(low + 1, k), high - 1)
