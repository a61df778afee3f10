"""Where a kernel's operands lie when it is launched, and which memory the system has to give first.

What a run touches again and again is in a cache if the largest one holds all of it, and comes from main memory if that
is far too small; between the two a share does. A run's tensors are as large as its memory at the peak. Weights are
touched once a pass: in a loop over time after every step, in a chain of layers only after all others.

On a CPU the C library hands freed blocks out again, but not all: a block of `MAPPED_BYTES` or more is a mapping of its
own, whose pages fault each time anew, and free memory at the end of the heap beyond `KEPT_BYTES` goes back to the
system (glibc's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, which rise to these bounds by themselves; mallopt(3)). Not
covered: other allocators (jemalloc, tcmalloc, macOS), huge pages, caches that neighbours share.
"""

import math
from collections.abc import Sequence

from seqcost.algebra.work import Direction, Kernel, Row
from seqcost.machines import Machine

MAPPED_BYTES = 32 * 2**20
KEPT_BYTES = 2 * MAPPED_BYTES
# Shares of a cache, as far as it holds, between which what is touched in turn goes from hits to misses: seen with
# additions and thin products that go through 2 to 128 MiB in turn.
HELD, MISSED = 0.5, 1.5
LOOP = 16  # launches of one kind at one place, from which on each mostly follows itself
JUST_MADE = 2.0  # times as many bytes as a launch moves lie between what made its operands and the launch
Reused = tuple[tuple[float, float], ...]  # shares of operands, each with the bytes touched between two uses of them


def shares_of(touched_bytes: float, pools: Sequence[int], machine: Machine) -> dict[int, float]:
    """Which shares of operands come from as far as those in pools do, where so many bytes are touched between two uses.

    Nothing comes from farther than the nearest caches where half of the second largest holds all; between the points
    that were measured the shares follow the logarithm. A pool that no cache holds is reached at once and a half of the
    largest.
    """
    if not machine.caches or not pools or touched_bytes <= 0:
        return {}
    *inner, largest = sorted(cache.size.amount for cache in machine.caches)
    start = HELD * (inner[-1] if inner and len(pools) > 1 else largest)
    places = {pool: min(float(pool), MISSED * largest) for pool in sorted(pools)}
    below, at = 0, start
    for pool, place in places.items():
        if touched_bytes <= at:
            break
        if touched_bytes < place:
            share = math.log(touched_bytes / at) / math.log(place / at)
            return {pool: share} | ({below: 1.0 - share} if below else {})
        below, at = pool, place
    return {below: 1.0} if below else {}


def reused(row: Row, moved_bytes: float, footprint_bytes: float, layers: int) -> Reused:
    """How many bytes a run touches between two uses of what a row reads, share by share of it.

    `moved_bytes` are those of the whole run, `footprint_bytes` those of all its tensors; `layers` are the equal layers
    that one row stands for, as a formula writes them. A product's weight comes again after one pass, in a loop after
    one step; what an operator reads was mostly made by the one before; on the way back half of it was kept since the
    way there.
    """
    near = JUST_MADE * float(row.bytes) / float(row.launches)
    if row.kernel == Kernel.PRODUCT:
        launches = float(row.launches)
        if launches >= LOOP * layers:  # it was timed as it follows itself: what others touch in a step comes on top
            return ((1.0, min(footprint_bytes, max(moved_bytes - float(row.bytes), 0.0) / launches)),)
        return ((1.0, min(footprint_bytes, moved_bytes / max(1.0, launches / layers))),)
    if row.direction is Direction.BACKWARD:
        return (0.5, min(near, footprint_bytes)), (0.5, footprint_bytes)
    return ((1.0, min(near, footprint_bytes)),)


def faulted_bytes(rows: Sequence[Row], swing_bytes: float | None) -> float:
    """Bytes that a run has to be given by the system; `swing_bytes` is how far its memory rises above what stays."""
    launched = [row for row in rows if row.launches and row.fresh]
    mapped = sum(float(row.fresh) for row in launched if float(row.fresh) / float(row.launches) >= MAPPED_BYTES)
    if swing_bytes is None:
        return mapped
    return mapped + max(0.0, swing_bytes - mapped - KEPT_BYTES)
