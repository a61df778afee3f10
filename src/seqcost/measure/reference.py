"""Two fixed kernels, timed before and after each job: how fast the machine is just then. Loads torch.

A float32 product of two 512 × 512 matrices (268 MFLOP) and a float32 addition of 1 to 48 MiB in place, which is more
than most caches hold; about 20 ms of each on two cores, the median of several launches. They run on the CPU whatever
the job's device: what launches the kernels of a GPU runs there, too. Not covered: memory or clock of a GPU that others
take.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

WIDTH = 512
NUM_ADDED = 3 * 2**22  # float32 numbers
PRODUCTS, ADDITIONS = 15, 9  # launches of a look
WARM_UPS = 2


def look() -> dict[str, float]:
    """Seconds of one launch of each; the operands are there only meanwhile, so that no job's memory has them."""
    ones = partial(torch.ones, dtype=torch.float32, device="cpu")  # a module may have set defaults of its own
    with torch.no_grad():
        x_WW, y_WW = ones(WIDTH, WIDTH), ones(WIDTH, WIDTH)
        product_s = _median_s(lambda: torch.mm(x_WW, x_WW, out=y_WW), PRODUCTS)
        x = ones(NUM_ADDED)
        return {"product_s": product_s, "add_s": _median_s(lambda: x.add_(1.0), ADDITIONS)}


def _median_s(launch: Callable[[], object], times: int) -> float:
    for _ in range(WARM_UPS):
        launch()
    found = []
    for _ in range(times):
        start_s = time.perf_counter()
        launch()
        found.append(time.perf_counter() - start_s)
    return statistics.median(found)
