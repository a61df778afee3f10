"""How often a run is repeated: until its median is known well enough, or its share of the time is spent.

1. Warm up until two runs in a row agree, at most MAX_WARMUP times.
2. Repeat at least five times, then until the interval of the median is narrow, REFINE_S is spent, or MAX_REPETITIONS.
3. The budget stops either early: a long run gets fewer repetitions, at least one, and then has no interval.
4. A first run longer than the whole budget is itself the one repetition, without warm-up; what a cold start adds is
   small beside it.

Repetitions follow each other at once, so caches are warm. Not covered: the order of several jobs, and pauses to cool
down.
"""

import statistics
from collections.abc import Callable, Sequence

from seqcost.records.statistics import MIN_REPETITIONS, median_interval

AGREEMENT = 0.10  # relative difference of two warm-up runs that agree
MAX_WARMUP = 5
WARMUP_SHARE = 0.3  # of the budget
HALF_WIDTH = 0.05  # of the interval, relative to the median: narrow enough
REFINE_S = 5.0  # beyond five repetitions, no more than this is spent on a narrower interval
MAX_REPETITIONS = 300


def repeat(once: Callable[[], float], budget_s: float) -> tuple[tuple[float, ...], int]:
    """Seconds of each repetition and the number of warm-up runs; `once` runs once and returns its seconds."""
    warmup = [once()]
    if warmup[0] > budget_s:
        return tuple(warmup), 0
    while not _agree(warmup) and len(warmup) < MAX_WARMUP and sum(warmup) + warmup[-1] <= WARMUP_SHARE * budget_s:
        warmup.append(once())
    left_s = budget_s - sum(warmup)
    times = [once()]
    while len(times) < MAX_REPETITIONS and sum(times) + statistics.median(times) <= left_s:
        if len(times) >= MIN_REPETITIONS and (_is_narrow(times) or sum(times) >= REFINE_S):
            break
        times.append(once())
    return tuple(times), len(warmup)


def _agree(times: Sequence[float]) -> bool:
    return len(times) > 1 and abs(times[-1] - times[-2]) <= AGREEMENT * max(times[-2:])


def _is_narrow(times: Sequence[float]) -> bool:
    interval = median_interval(times)
    return interval is not None and (interval.high - interval.low) / 2 <= HALF_WIDTH * statistics.median(times)
