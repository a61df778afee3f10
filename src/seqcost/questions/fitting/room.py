"""How much memory tensors may take: as given, or what this machine has."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqcost.algebra.rendering import scaled
from seqcost.questions.asked.amounts import bytes_in


@dataclass(frozen=True, kw_only=True)
class Room:
    """Bytes that tensors may take, and where that is from, in words."""

    limit_bytes: int
    said: str


def room_for(memory: Any) -> Room:
    """The memory that was given; without one, all that this machine has.

    Raises BadSize for what is no amount of memory.
    """
    if memory is not None:
        limit = bytes_in(memory, "memory")
        return Room(limit_bytes=limit, said=f"{scaled(limit, 'B')}, as given")
    limit = _of_this_machine()
    return Room(limit_bytes=limit, said=f"{scaled(limit, 'B')}, all the memory of this machine")


def _of_this_machine() -> int:
    """What the system has, or the container where that is less."""
    import psutil

    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no such group, or its limit reads "max"
        return total
