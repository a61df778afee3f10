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
from dataclasses import asdict
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.algebra.work import Row
from seqcost.measure.kernels.between import Between
from seqcost.measure.kernels.case import Case
from seqcost.measure.kernels.models import ran
from seqcost.measure.kernels.operators import operator_call
from seqcost.trace.watch import watch

FEWEST, MOST = 3, 20  # launches in each round
LONG_S = 0.2  # a launch that takes longer is repeated in the next round alone
SPAN_S = 4e-3  # of the launches of a round and what runs between them
POOL_BYTES = 2**27  # of numbers that operands are parts of: more than caches hold
MOST_COPIES = 512
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
        between = Between()
        for turn in range(order["rounds"]):
            for index, fields in enumerate(order["cases"]):
                case = Case(**fields)
                calls = calls_of(case, pools[case.dtype])
                row = row_of(case, calls[0]) if turn == 0 else None
                if row is not None:
                    known.add(index)
                tell(
                    index=index,
                    row=row,
                    seconds=timed(calls, calls[0] if case.again else between) if index in known else [],
                )
                del calls
            gc.collect()
        tell(fresh=fresh())
        tell(pools=pools_of(next(iter(pools.values()))))
        tell(again=[again(between) for _ in range(5)], inner=[inner(between) for _ in range(5)])
    for found in ran(watched, between):
        tell(model=found)
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
    """The launch, or as many on operands of their own as it takes to go through the case's pool once."""
    pool.restart()
    first = operator_call(case, pool.draw)
    if not case.pool:
        return [first]
    used = max(case.bytes, 1)
    return [first, *(operator_call(case, pool.draw) for _ in range(min(case.pool // used, MOST_COPIES)))]


def timed(calls: Sequence[Callable[[], object]], between: Callable[[], object]) -> list[float]:
    """Seconds of each launch; several calls take turns, and their results stay for as long."""
    results: list[object] = [None] * len(calls)
    for call in calls[:2]:
        call()
    found: list[float] = []
    begun_s = time.perf_counter()
    while len(found) < FEWEST or (time.perf_counter() - begun_s < SPAN_S and len(found) < MOST):
        call = calls[len(found) % len(calls)]
        between()
        start_s = time.perf_counter()
        result = call()
        found.append(time.perf_counter() - start_s)
        results[len(found) % len(calls)] = result
        if found[-1] > LONG_S:
            break
    return found


def again(between: Callable[[], object]) -> float:
    """Seconds of small launches one after the other, as in a loop over time, in relation to each after others."""
    x, rows = torch.randn(64), torch.randn(8, 8)
    step: list[Callable[[], object]] = [
        partial(torch.mul, x, x), partial(torch.tanh, x), partial(rows.chunk, 2, -1), partial(torch.sub, x, x),
        partial(torch.mm, rows, rows), partial(torch.addcmul, x, x, x), partial(x.view, 8, 8), partial(torch.exp, x),
    ]  # fmt: skip
    apart = sum(statistics.median(timed([call], between)) for call in step)
    return statistics.median(_in_turn(step * 30)) * len(step) / apart


def inner(between: Callable[[], object]) -> float:
    """Seconds of the small launches in a loop of PyTorch's own, in relation to each after others."""
    steps, width = 64, 16
    rnn, x, h = torch.nn.RNN(width, width), torch.randn(steps, 1, width), torch.randn(1, width)
    one: list[Callable[[], object]] = [
        partial(F.linear, h, torch.randn(width, width), torch.randn(width)),
        partial(torch.add, h, h),
        partial(torch.tanh, h),
    ]
    apart = sum(statistics.median(timed([call], between)) for call in one)
    return statistics.median(_in_turn([partial(rnn, x)] * 8)) / (steps * apart)


def row_of(case: Case, call: Callable[[], object]) -> dict[str, Any] | None:
    """The row of work of one launch; None where PyTorch runs something else (an LSTM in float64 is a loop)."""
    named = [row for row in watched(call)["rows"] if (row["kernel"], row["operator"]) == (case.kernel, case.operator)]
    return named[0] if len(named) == 1 and named[0]["launches"] == 1 else None


def watched(run: Callable[[], object]) -> dict[str, Any]:
    """Rows of work of whatever runs and what it does beside them, as plain data."""
    with watch() as seen:
        run()
    return {"rows": [plain(row) for row in seen.rows], "beside": asdict(seen.beside), "peak_bytes": seen.peak_bytes}


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
        "fresh",
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
        found.append((count * STEP_BYTES, statistics.median(_in_turn(calls))))
    return found


def _in_turn(calls: Sequence[Callable[[], object]]) -> list[float]:
    """Seconds of a call, once for each time that all of them are gone through."""
    found = []
    for _ in range(4):
        start_s = time.perf_counter()
        for call in calls:
            call()
        found.append((time.perf_counter() - start_s) / len(calls))
    return found[1:]


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
