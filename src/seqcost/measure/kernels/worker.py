"""The process that times the kernels of a profile; started by `timing`, never imported.

    python -m seqcost.measure.kernels.worker < one line of JSON

The line holds the cases, the number of threads and how often all of them are gone through. A line of JSON comes out
for each case and round: the row of work that the launch writes, as a trace sees it, and the seconds of each repetition.
So a point of a profile has the very key that a prediction looks up. Rounds are far apart in time: what disturbs one
leaves the other alone. Standard output is the pipe; nothing foreign runs here.
"""

import gc
import json
import math
import mmap
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seqcost.algebra.work import Row
from seqcost.measure.kernels.case import Case
from seqcost.measure.kernels.glue import glued
from seqcost.measure.kernels.operators import operator_call
from seqcost.trace.watch import watch

REPETITIONS = 3  # in each round
LONG_S = 0.2  # a launch that takes longer is repeated in the next round alone
SPAN_S = 2e-3  # of one repetition, where a launch is shorter
POOL_BYTES = 2**27  # of numbers that operands are parts of: more than caches hold
MOST_COPIES = 512
FEWEST_COLD = 16  # launches of a repetition whose operands take turns
STEP_BYTES = 3 * 2**16  # of the three tensors of one addition
FRESH_BYTES = 2**26


def main() -> None:
    """Time what was ordered, round after round."""
    order = json.loads(sys.stdin.readline())
    torch.set_num_threads(order["threads"])
    torch.manual_seed(0)
    gc.disable()
    tell(threads=torch.get_num_threads(), torch_version=torch.__version__)
    with torch.no_grad():
        pools = {dtype: Pool(getattr(torch, dtype)) for dtype in {fields["dtype"] for fields in order["cases"]}}
        known: set[int] = set()
        for turn in range(order["rounds"]):
            for index, fields in enumerate(order["cases"]):
                case = Case(**fields)
                calls = calls_of(case, pools[case.dtype])
                row = row_of(case, calls[0]) if turn == 0 else None
                if row is not None:
                    known.add(index)
                tell(index=index, row=row, seconds=timed(calls) if index in known else [])
                del calls
            gc.collect()
        tell(fresh=fresh())
        tell(pools=pools_of(next(iter(pools.values()))))
    for found in glued(rows_of):
        tell(glue=found)
    tell(done=True)


def tell(**facts: object) -> None:
    """One line."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class Pool:
    """Random numbers that are there already; each operand is a part of them, the next one behind it.

    One that is larger than the pool is made for itself.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._numbers = torch.randn(POOL_BYTES // dtype.itemsize // 8, dtype=torch.float32).to(dtype).repeat(8)
        self._next = 0

    def draw(self, *shape: int) -> Tensor:
        """A tensor of a shape."""
        count = math.prod(shape)
        if count > len(self._numbers):
            return self._numbers.repeat(-(-count // len(self._numbers)))[:count].view(shape)
        if self._next + count > len(self._numbers):
            self._next = 0
        part = self._numbers[self._next : self._next + count]
        self._next += -(-count // 64) * 64
        return part.view(shape)

    def restart(self) -> None:
        """The next operand is the first again."""
        self._next = 0


def calls_of(case: Case, pool: Pool) -> list[Callable[[], object]]:
    """The launch, or as many on operands of their own as it takes to go through the pool once."""
    pool.restart()
    first = operator_call(case, pool.draw)
    if not case.cold:
        return [first]
    used = max(case.bytes, 1)
    return [first, *(operator_call(case, pool.draw) for _ in range(min(POOL_BYTES // used, MOST_COPIES)))]


def timed(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Seconds of a launch, once for each repetition; several calls take turns, and their results stay for as long."""
    results: list[object] = [None] * max(1, len(calls))
    for call in calls[:2]:
        call()
    start_s = time.perf_counter()
    calls[0]()
    launches = max(1, round(SPAN_S / (time.perf_counter() - start_s)))
    if len(calls) > 1:
        launches = max(launches, FEWEST_COLD)
    found, at = [], 0
    for _ in range(REPETITIONS if launches > 1 or time.perf_counter() - start_s < LONG_S else 1):
        start_s = time.perf_counter()
        for i in range(at, at + launches):
            results[i % len(results)] = calls[i % len(calls)]()
        found.append((time.perf_counter() - start_s) / launches)
        at += launches
    return found


def row_of(case: Case, call: Callable[[], object]) -> dict[str, Any] | None:
    """The row of work of one launch; None where PyTorch runs something else (an LSTM in float64 is a loop)."""
    named = [row for row in rows_of(call) if (row["kernel"], row["operator"]) == (case.kernel, case.operator)]
    return named[0] if len(named) == 1 and named[0]["launches"] == 1 else None


def rows_of(run: Callable[[], object]) -> list[dict[str, Any]]:
    """Rows of work of whatever runs, as plain data."""
    with watch() as seen:
        run()
    return [plain(row) for row in seen.rows]


def plain(row: Row) -> dict[str, Any]:
    """What a prediction reads of a row."""
    fields = (
        "name",
        "kernel",
        "operator",
        "direction",
        "sizes",
        "launches",
        "contraction",
        "pointwise",
        "bytes",
        "itemsize",
    )
    return {name: getattr(row, name) for name in fields}


def pools_of(pool: Pool) -> list[tuple[int, float]]:
    """Bytes that additions go through in turn, and the seconds of one: where they leave the caches shows itself."""
    found = []
    for share in (64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2):
        count = POOL_BYTES // share // STEP_BYTES
        pool.restart()
        pairs = [(pool.draw(STEP_BYTES // 12), pool.draw(STEP_BYTES // 12)) for _ in range(count)]
        calls = [partial(torch.add, x, y, out=pool.draw(STEP_BYTES // 12)) for x, y in pairs]
        found.append((count * STEP_BYTES, statistics.median(timed(calls) + timed(calls))))
    return found


def fresh() -> dict[str, float]:
    """Bytes and seconds of memory that the system has to give first, beyond writing to it; at its quickest.

    A guest system may have to ask its host for pages that it never had, once.
    """
    seconds: list[float] = []
    again: list[float] = []
    for _ in range(5):
        with mmap.mmap(-1, FRESH_BYTES) as memory:
            x = torch.frombuffer(memory, dtype=torch.float32)
            for found in (seconds, again):
                start_s = time.perf_counter()
                x.fill_(1.0)
                found.append(time.perf_counter() - start_s)
            del x
    return {"bytes": FRESH_BYTES, "seconds": min(seconds) - min(again)}


if __name__ == "__main__":
    main()
