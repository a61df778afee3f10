"""Small pieces timed in this very process: too short for a process of their own, and without peaks of memory."""

import time
from collections.abc import Callable, Sequence

from seqcost.progress import tell
from seqcost.questions.answers.claims import Figure, Source
from seqcost.questions.claiming.bench import ratio
from seqcost.records.statistics import median_interval

REPETITIONS = 9


def timed(what: str, run: Callable[[], object], repetitions: int = REPETITIONS) -> Figure:
    """Median seconds of a function after one warm-up, with the interval of the median."""
    tell(f"timing {what}")
    run()
    return of_times(what, [_once(run) for _ in range(repetitions)])


def of_times(what: str, times: Sequence[float]) -> Figure:
    """The figure of repetitions."""
    middle, found = sorted(times)[len(times) // 2], median_interval(times)
    low, high = (None, None) if found is None else (found.low, found.high)
    return Figure(what=what, value=middle, unit="s", source=Source.MEASURED, low=low, high=high)


def _once(run: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    run()
    return time.perf_counter() - start_s


def softmax_share(T: int, H: int = 8, K: int = 64) -> Figure:
    """Time of softmax over that of the two products around it, scores written out, without gradients."""
    import torch

    with torch.no_grad():
        q, k, v = (torch.randn(H, T, K, generator=torch.Generator().manual_seed(i)) for i in range(3))
        scores = q @ k.transpose(1, 2)
        weights = scores.softmax(-1)
        products = timed("two products", lambda: (q @ k.transpose(1, 2), weights @ v))
        softmax = timed("a softmax", lambda: scores.softmax(-1))
    return ratio(f"softmax over those products, in time, T = {T:,}", softmax, products)
