"""How much memory tensors may take: as given, what a machine leaves them, or what this machine has.

Of a device, a process has its context, what libraries keep beside the allocator, and workspaces that they keep in it,
before the first tensor comes; the allocator takes memory in segments, of which one of each size may be all but empty.
What a profile does not know is not taken off.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqcost.algebra.rendering import scaled
from seqcost.machines import Machine
from seqcost.questions.asked.amounts import bytes_in


@dataclass(frozen=True, kw_only=True)
class Room:
    """Bytes that tensors may take, and where that is from, in words."""

    limit_bytes: int
    said: str


def room_for(memory: Any, machine: Machine | None = None) -> Room:
    """The memory that was given; else what a machine leaves; else all that this machine has.

    Raises BadSize for what is no amount of memory.
    """
    if memory is not None:
        limit = bytes_in(memory, "memory")
        return Room(limit_bytes=limit, said=f"{scaled(limit, 'B')}, as given")
    if machine is not None:
        return _left_by(machine)
    limit = _of_this_machine()
    return Room(limit_bytes=limit, said=f"{scaled(limit, 'B')}, all the memory of this machine")


def _left_by(machine: Machine) -> Room:
    whole = int(machine.memory.amount)
    taken = list(_taken(machine))
    limit = whole - sum(size for _, size in taken)
    less = ", ".join(f"{scaled(size, 'B')} of {what}" for what, size in taken)
    of = f"{scaled(whole, 'B')} of {machine.title}"
    said = f"{scaled(limit, 'B')}, {of} less {less}" if taken else f"{of}, its whole memory"
    return Room(limit_bytes=max(1, limit), said=said)


def _taken(machine: Machine) -> Iterator[tuple[str, int]]:
    yield from machine.taken()
    segments = [
        machine.rounding[word].amount for word in ("small_segment", "large_segment") if word in machine.rounding
    ]
    if segments:
        yield "segments", int(sum(segments))


def _of_this_machine() -> int:
    """What the system has, or the container where that is less."""
    import psutil

    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no such group, or its limit reads "max"
        return total
