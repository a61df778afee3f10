"""Where a kernel's operands lie when it is launched, and which memory the system has to give first.

What a run touches again and again is in a cache if the largest one holds all of it, and comes from main memory if that
is far too small; between the two a share does. A run's tensors are as large as its memory at the peak. Weights are
touched once a pass: in a loop over time after every step, in a chain of layers only after all others.

On a CPU the C library hands freed blocks out again, but not all: a block of `MAPPED_BYTES` or more is a mapping of its
own, whose pages fault each time anew, and free memory at the end of the heap goes back to the system beyond
`KEPT_TIMES` the largest block that ever was freed (glibc's M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, which rise by
themselves; mallopt(3)). Not covered: other allocators (jemalloc, tcmalloc, macOS), huge pages, caches that neighbours
share, larger blocks that a process freed before the run.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from seqcost.algebra.work import Direction, Kernel, Row
from seqcost.machines import Machine

MAPPED_BYTES = 32 * 2**20
# times the largest block, and at least as much as seen: loading a model frees blocks of some MiB
KEPT_TIMES, LEAST_KEPT_BYTES = 2, 24 * 2**20
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


@dataclass(frozen=True)
class Touched:
    """What a run touches: `footprint` bytes of all its tensors, `layers` equal layers that one row stands for."""

    rows: Sequence[Row]
    footprint: float
    layers: int = 1

    @cached_property
    def moved(self) -> float:
        """Bytes that all of it moves."""
        return sum(float(row.bytes) for row in self.rows)

    @cached_property
    def _by_direction(self) -> Counter[str]:
        found = Counter[str]()
        for row in self.rows:
            found[row.direction] += float(row.bytes)  # type: ignore[assignment]  # bytes may be a fraction
        return found

    @cached_property
    def _alike(self) -> Counter[object]:
        return Counter(map(_kind, self.rows))

    def is_loop(self, row: Row) -> bool:
        """Whether most of a row's launches follow each other closely."""
        return float(row.launches) >= LOOP * self.layers

    def reused(self, row: Row) -> Reused:
        """How many bytes are touched between two uses of what a row reads, share by share of it.

        A product's weight comes again after one pass. In a loop all comes again after a step: what the others of the
        loop touch counts, of which rows that are alike (one for each layer) have one each. What an operator reads was
        mostly made by the one before; on the way back half of it was kept since the way there.
        """
        launches = float(row.launches)
        if self.is_loop(row):
            a_layer = self._by_direction[row.direction] / self._alike[_kind(row)]
            return ((1.0, min(self.footprint, max(a_layer - float(row.bytes), 0.0) / launches)),)
        if row.kernel == Kernel.PRODUCT:
            return ((1.0, min(self.footprint, self.moved / max(1.0, launches / self.layers))),)
        near = min(JUST_MADE * float(row.bytes) / launches, self.footprint)
        if row.direction is Direction.BACKWARD:
            return (0.5, near), (0.5, self.footprint)
        return ((1.0, near),)


def _kind(row: Row) -> object:
    return row.direction, row.operator, row.sizes, row.launches


def faulted_bytes(rows: Sequence[Row], swing_bytes: float | None) -> float:
    """Bytes that a run has to be given by the system; `swing_bytes` is how far its memory rises above what stays.

    The C library keeps twice the largest block that it ever got back, here the largest that the run itself makes.
    """
    launched = [row for row in rows if row.launches and row.fresh]
    blocks = [float(row.fresh) / float(row.launches) for row in launched]
    mapped = sum(float(row.fresh) for row, block in zip(launched, blocks, strict=True) if block >= MAPPED_BYTES)
    if swing_bytes is None:
        return mapped
    largest = max((block for block in blocks if block < MAPPED_BYTES), default=0.0)
    kept = max(KEPT_TIMES * largest, LEAST_KEPT_BYTES) if not mapped else KEPT_TIMES * MAPPED_BYTES
    return mapped + max(0.0, swing_bytes - mapped - kept)
