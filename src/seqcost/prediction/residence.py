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

from seqcost.algebra.work import Kernel, Row
from seqcost.machines import Machine

MAPPED_BYTES = 32 * 2**20
KEPT_BYTES = 2 * MAPPED_BYTES
# Shares of the largest cache, as far as it holds, between which what is touched in turn goes from hits to misses: seen
# with additions and thin products that go through 2 to 128 MiB in turn.
HELD, MISSED = 0.5, 1.5


def cold_share(touched_bytes: float, machine: Machine) -> float:
    """Which share of operands comes from main memory where so many bytes are touched between two uses; 0 to 1."""
    if not machine.caches or touched_bytes <= 0:
        return 0.0
    largest = max(cache.size.amount for cache in machine.caches)
    share = math.log(touched_bytes / (HELD * largest)) / math.log(MISSED / HELD)
    return min(max(share, 0.0), 1.0)


def touched_between(row: Row, moved_bytes: float, footprint_bytes: float, layers: int) -> float:
    """Bytes that a run touches between two uses of what a row reads.

    `moved_bytes` are those of the whole run, `footprint_bytes` those of all its tensors; `layers` are the equal layers
    that one row stands for, as a formula writes them.
    """
    if row.kernel != Kernel.PRODUCT:
        return footprint_bytes
    uses = max(1.0, float(row.launches) / layers)
    return min(footprint_bytes, moved_bytes / uses)


def faulted_bytes(rows: Sequence[Row], swing_bytes: float | None) -> float:
    """Bytes that a run has to be given by the system; `swing_bytes` is how far its memory rises above what stays."""
    launched = [row for row in rows if row.launches and row.fresh]
    mapped = sum(float(row.fresh) for row in launched if float(row.fresh) / float(row.launches) >= MAPPED_BYTES)
    if swing_bytes is None:
        return mapped
    return mapped + max(0.0, swing_bytes - mapped - KEPT_BYTES)
