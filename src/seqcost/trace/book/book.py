"""What is written down of a run: every operator with its module, every block of memory as it comes and goes.

The ledger fills it from tensors, while a run is under way. What it is told are blocks and plain numbers, so that it can
be filled again from its own `tape`, with equal layers put in (see `repeats`).

Depth is the longest chain of dependent operators from the inputs on, followed through blocks: an operator is one step,
a fused recurrence as many as it has time steps, a view none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from seqcost.algebra.peak import GRADIENTS, SAVED, TEMPORARY
from seqcost.algebra.work import Kernel
from seqcost.trace.book.history import History, Moment, Repeat, Storage

Key = tuple[str, str, str]  # forward, backward or optimizer; module path; operator
Shown = tuple[tuple[torch.Size, torch.dtype], ...]
Amounts = tuple[Any, Any, Any, Any, Any]  # launches, FLOPs of contractions, pointwise operations, bytes, fresh ones
Shapes = tuple[Shown, Shown, tuple[Any, ...]]  # operands in the order of the arguments, results, sizes of a launch


@dataclass(slots=True)
class Entry:
    """All launches of one operator by one module in one direction."""

    launches: int = 0
    contraction: Any = 0
    pointwise: Any = 0
    bytes: Any = 0
    fresh: Any = 0
    alive_bytes: list[Any] = field(default_factory=list)  # during each launch
    kernel: Kernel = Kernel.OTHER
    known: bool = True
    by_shapes: dict[Shapes, list[Any]] = field(default_factory=dict)  # those five, of launches that are alike

    def book(self, amounts: Amounts, shapes: Shapes | None) -> None:
        """Add what launches come to; apart by shapes where those are noted."""
        launches, contraction, pointwise, moved, fresh = amounts
        self.launches += launches
        self.contraction += contraction
        self.pointwise += pointwise
        self.bytes += moved
        self.fresh += fresh
        if shapes is not None:
            alike = self.by_shapes.get(shapes)
            self.by_shapes[shapes] = (
                list(amounts) if alike is None else [a + b for a, b in zip(alike, amounts, strict=True)]
            )


@dataclass(slots=True)
class Op:
    """An operator as it is booked: what it is of, what it costs, the blocks that it touches."""

    key: Key
    shapes: Shapes | None
    kernel: Kernel
    known: bool
    amounts: Amounts
    kernel_bytes: Any
    steps: Any
    used: list[Storage]
    awaited: list[Storage]
    written: list[Storage]
    made: list[Storage]
    recording: bool  # whether autograd follows it


@dataclass(slots=True)
class Event:
    """Anything else that happens: see the methods of `Book` by these names."""

    name: str
    block: Storage | None = None
    path: str = ""
    times: int = 1
    of: Any = None  # the category of a block that comes; a call of a layer


class Book:
    """Entries, depth, the bytes alive and their worst moment; `tape` has all that was told, where it is kept."""

    def __init__(self, history: History | None = None) -> None:
        self.entries: dict[Key, Entry] = {}
        self.depth: Any = 0
        self.live_bytes: Any = 0
        self.peak_bytes: Any = 0
        self.history = history  # kept only where it is asked for: it grows with every operator
        self.tape: list[Op | Event] | None = None
        self._links: list[tuple[int, Key, Shapes | None, Any]] = []  # the one before on its chain; what it is of; steps
        self._deepest = -1
        self._stage: tuple[int, int] | None = None

    def come(self, block: Storage) -> None:
        """A block is there."""
        if self.tape is not None:
            self.tape.append(Event("come", block, block.path, of=block.category))
        self.live_bytes += block.num_bytes
        if self.history is not None:
            self.history.come(block)

    def go(self, block: Storage) -> None:
        """A block is gone."""
        if self.tape is not None:
            self.tape.append(Event("go", block))
        self.live_bytes -= block.num_bytes
        block.alive = False
        if self.history is not None:
            self.history.go(block)

    def begin(self, block: Storage) -> None:
        """A block of the inputs: chains begin here."""
        if self.tape is not None:
            self.tape.append(Event("begin", block))
        block.depth = 0

    def keep(self, block: Storage, path: str) -> None:
        """Autograd keeps a block for backward."""
        if self.tape is not None:
            self.tape.append(Event("keep", block, path))
        if block.category == TEMPORARY:
            block.category, block.path = SAVED, block.path or path

    def accumulated(self, block: Storage) -> None:
        """A block has become the gradient of a parameter or an input."""
        if self.tape is not None:
            self.tape.append(Event("accumulated", block))
        if block.category == TEMPORARY:
            block.category = GRADIENTS

    def mark_peak(self, kernel_bytes: Any = 0) -> Any:
        """Bytes of this moment, with what the running kernel holds besides its tensors; the worst one is kept."""
        now = self.live_bytes + kernel_bytes
        self.peak_bytes = max(self.peak_bytes, now)
        return now

    def start(self, times: int) -> None:
        """A stage begins; it stands for so many equal ones."""
        if self.tape is not None:
            self.tape.append(Event("start", times=times))
        self._stage = (0 if self.history is None else len(self.history.moments), times)

    def stop(self) -> None:
        """The stage is over."""
        if self.tape is not None:
            self.tape.append(Event("stop"))
        assert self._stage is not None
        start, times = self._stage
        if self.history is not None and times > 1:
            self.history.repeats.append(Repeat(start, len(self.history.moments), times))

    def enter(self, op: Op) -> None:
        """An operator runs."""
        if self.tape is not None:
            self.tape.append(op)
        for block in op.used:
            block.used = True
        alive_bytes = self.mark_peak(op.kernel_bytes)
        self._follow_depth(op)
        if self.history is not None:
            moment = Moment(
                len(self.history.events), op.kernel_bytes, alive_bytes, op.key[0], path=op.key[1], operator=op.key[2]
            )
            self.history.note(moment, op.made, recording=op.recording)
        entry = self.entries.get(op.key)
        if entry is None:
            entry = self.entries[op.key] = Entry(known=op.known, kernel=op.kernel)
        entry.alive_bytes.append(alive_bytes)
        entry.book(op.amounts, op.shapes)

    def steps(self) -> Mapping[tuple[Key, Shapes | None], Any]:
        """Steps of the longest chain by what they are of; they add up to `depth`."""
        found: dict[tuple[Key, Shapes | None], Any] = {}
        link = self._deepest
        while link >= 0:
            before, key, shapes, steps = self._links[link]
            found[key, shapes] = found.get((key, shapes), 0) + steps
            link = before
        return found

    def _follow_depth(self, op: Op) -> None:
        before = [block for block in op.awaited if block.depth is not None]
        if not before:
            return
        last = max(before, key=lambda block: block.depth)
        depth, link = op.steps + last.depth, len(self._links)
        self._links.append((last.link, op.key, op.shapes, op.steps))
        for block in op.written:
            if block.depth is None or block.depth < depth:
                block.depth, block.link = depth, link
        if depth > self.depth:
            self.depth, self._deepest = depth, link
