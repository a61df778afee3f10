"""How long a measured run may take and how much memory it may hold, with defaults that leave the machine usable.

Memory is resident memory of the started process and its children. Not covered: disk, and memory of a GPU, whose own
allocator refuses.
"""

from dataclasses import dataclass, field
from pathlib import Path

import psutil

from seqcost.errors import BadSize

TIME_S = 300.0
MEMORY_SHARE = 0.8  # of what is available when the limits are made; the rest is for the system and for us


def available_bytes() -> int:
    """Memory that can be had without swapping: the system's, or the container's where that is less."""
    available = int(psutil.virtual_memory().available)
    try:
        limit, used = (Path("/sys/fs/cgroup", name).read_text() for name in ("memory.max", "memory.current"))
        return min(available, int(limit) - int(used))
    except (OSError, ValueError):  # no such group, or its limit reads "max"
        return available


def _share_of_available() -> int:
    return int(MEMORY_SHARE * available_bytes())


@dataclass(frozen=True)
class Limits:
    """Bounds of one run, from the start of its process to its result."""

    time_s: float = TIME_S
    memory_bytes: int = field(default_factory=_share_of_available)

    def __post_init__(self) -> None:
        if not self.time_s > 0:
            raise BadSize(f"the time limit is a number of seconds above 0, not {self.time_s!r}.")
        if not self.memory_bytes > 0:
            raise BadSize(f"the memory limit is a number of bytes above 0, not {self.memory_bytes!r}.")
