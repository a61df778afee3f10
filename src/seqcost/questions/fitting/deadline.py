"""A limit of time beside that of memory: the largest size whose predicted time is within it.

The middle of a prediction decides. Its interval gives a range: the largest size by the interval's high end, which is
the careful one, and the largest by its low end. No answer goes beyond what fits the memory.
"""

from math import ceil, floor

from seqcost.algebra.rendering import seconds
from seqcost.errors import BadSize
from seqcost.plan import Largest, largest
from seqcost.prediction import Interval
from seqcost.questions.answers.fit import Timing
from seqcost.questions.fitting.clock import Clock
from seqcost.questions.fitting.solver import FINDS, Solver

_TICK_S = 1e-12  # a search compares whole numbers


class Deadline:
    """So many seconds for a setup along one of its sizes."""

    def __init__(self, solver: Solver, clock: Clock, limit_s: float) -> None:
        self._solver, self._clock, self.limit_s = solver, clock, limit_s
        self._seen: dict[int, Interval] = {}

    def seconds(self, size: int) -> Interval:
        """The prediction at a size; each is made once."""
        if size not in self._seen:
            self._seen[size] = self._clock.seconds(self._solver.brief(size), self._solver.at(size))
        return self._seen[size]

    def cut(self, by_memory: Largest) -> Largest:
        """What fits the memory, no further than the time reaches: the answer's own costs are those of memory."""
        if by_memory.size is None:
            return by_memory
        found = self._largest("mid", by_memory.size)
        if found.next_size is None:
            return by_memory
        shown = (found.size or found.smallest, found.next_size)
        return Largest(
            size=found.size,
            next_size=found.next_size,
            smallest=found.smallest,
            limit=by_memory.limit,
            looks={size: self._solver.peak_bytes(size) for size in shown},
        )

    def told(self, by_memory: Largest, found: Largest) -> Timing:
        """The answer's time; `found` is what `cut` gave.

        Raises BadSize where not even the smallest size is within the limit.
        """
        if found.size is None and by_memory.size is not None:
            least = self.seconds(found.smallest).mid
            raise BadSize(
                f"time = {seconds(self.limit_s)} was given, and {FINDS[self._solver.find]} = {found.smallest:,} of "
                f"{self._solver.setup.subject.name} takes {seconds(least)} as predicted for "
                f"{self._clock.machine.key}; give more."
            )
        last = by_memory.size
        careful, hopeful = (None if last is None else self._largest(end, last).size for end in ("high", "low"))
        return Timing(
            limit_s=self.limit_s,
            machine=self._clock.machine.key,
            binds=found is not by_memory,
            seconds=self.seconds(found.smallest if found.size is None else found.size),
            next_seconds=None if found.next_size is None else self.seconds(found.next_size),
            careful=careful,
            hopeful=hopeful,
            odd=self._odd(found),
        )

    def _odd(self, found: Largest) -> int | None:
        """A smaller size that takes too long although the answer does not, or one beyond the next that does not."""
        if found.size is None:
            return None
        before = [size for size, seen in self._seen.items() if size < found.size and seen.mid > self.limit_s]
        beyond = found.next_size
        again = [] if beyond is None else [size for size, seen in self._seen.items() if size > beyond]
        again = [size for size in again if self._seen[size].mid <= self.limit_s]
        return next(iter(sorted(before + again)), None)

    def _largest(self, end: str, last: int) -> Largest:
        def ticks(size: int) -> int:
            return _ticks(self.seconds(size), end)

        known = {size: _ticks(seen, end) for size, seen in self._seen.items()}
        return largest(
            ticks, floor(self.limit_s / _TICK_S), step=self._solver.step, last=last, guess=self._guess(end), known=known
        )

    def _guess(self, end: str) -> int | None:
        """Of the ends of the interval: where a size that was seen is nearest to the limit."""
        if end == "mid" or not self._seen:
            return None
        return min(self._seen, key=lambda size: abs(_ticks(self._seen[size], end) - self.limit_s / _TICK_S))


def _ticks(seconds: Interval, end: str) -> int:
    amount: float = getattr(seconds, end)
    return ceil(amount / _TICK_S)
