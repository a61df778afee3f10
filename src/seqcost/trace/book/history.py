"""What memory was for, moment by moment: the blocks of a run written down as they come and go.

What a block is for may only show later (a product is a gradient once it has been accumulated), so blocks are written
down as they are, and sums by category are taken when the run is over: a block counts for the same thing all its life.

saved_activations is what outlives the forward pass for the sake of backward, whether autograd packs it, a checkpoint's
closure holds it or autocast's cache does; also what is computed again during backward and kept there for it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from seqcost.algebra.peak import CATEGORIES, SAVED, TEMPORARY, Held, largest_first
from seqcost.trace.book.paths import BACKWARD, FORWARD


@dataclass(slots=True, eq=False)
class Storage:
    """One block of memory."""

    num_bytes: Any
    depth: Any = None  # longest chain of operators from the inputs to its content; None: the inputs have no part in it
    link: int = -1  # of that chain: the operator that ends it, by its place in the book
    watch: Any = None
    category: str = TEMPORARY
    path: str = ""  # of the module that made it
    operator: str = ""  # that made it
    shape: Any = ()  # of the tensor that it was made as
    alive: bool = True
    used: bool = False  # an operator has read or written it


@dataclass(slots=True)
class Moment:
    """One operator while it runs."""

    num_events: int  # blocks that had come or gone by then
    kernel_bytes: Any  # held by the kernel besides its tensors
    alive_bytes: Any
    direction: str
    path: str
    operator: str


@dataclass(frozen=True)
class Repeat:
    """Moments that stand for several equal runs of themselves."""

    start: int
    stop: int
    times: int


@dataclass
class History:
    """Blocks and moments of one run."""

    events: list[tuple[Storage, int]] = field(default_factory=list)  # +1 where it comes, −1 where it goes
    moments: list[Moment] = field(default_factory=list)
    repeats: list[Repeat] = field(default_factory=list)
    _unsettled: list[Storage] = field(default_factory=list)

    def come(self, block: Storage) -> None:
        """A block is there."""
        self.events.append((block, 1))

    def go(self, block: Storage) -> None:
        """A block is gone."""
        self.events.append((block, -1))

    def note(self, moment: Moment, made: list[Storage], *, recording: bool) -> None:
        """An operator ran and made blocks; `recording`: autograd follows it."""
        self.moments.append(moment)
        for block in made:
            block.operator = moment.operator
        if moment.direction == BACKWARD and not recording:
            self._settle()
        if recording or moment.direction == FORWARD:
            for block in made:
                block.path = moment.path
            self._unsettled += made

    def _settle(self) -> None:
        for block in self._unsettled:
            if block.alive and block.category == TEMPORARY:
                block.category = SAVED
        self._unsettled.clear()

    def sums(self) -> Iterator[tuple[Moment, dict[str, Any]]]:
        """Every moment with its bytes by category; the same dict each time."""
        sums: dict[str, Any] = dict.fromkeys(CATEGORIES, 0)
        before = 0
        for moment in self.moments:
            for block, sign in self.events[before : moment.num_events]:
                sums[block.category] += sign * block.num_bytes
            before = moment.num_events
            yield moment, sums

    def saved_by_module(self, moment: Moment) -> Mapping[str, Any]:
        """Saved activations of a moment by the module that made them, the largest first."""
        found: dict[str, Any] = {}
        for block, sign in self.events[: moment.num_events]:
            if block.category == SAVED:
                found[block.path] = found.get(block.path, 0) + sign * block.num_bytes
        return largest_first(found)

    def tensors(self, moment: Moment) -> tuple[Held, ...]:
        """What is alive at a moment and was made by an operator, the largest first; alike ones together."""
        found: dict[tuple[Any, ...], list[int]] = {}
        for block, sign in self.events[: moment.num_events]:
            if block.operator:
                key = (block.category, block.path, block.operator, tuple(map(int, block.shape)))
                entry = found.setdefault(key, [0, 0])
                entry[0] += sign * int(block.num_bytes)
                entry[1] += sign
        held = [
            Held(name=operator, path=path, category=category, shape=shape, num_bytes=size, times=times)
            for (category, path, operator, shape), (size, times) in found.items()
            if size
        ]
        return tuple(sorted(held, key=lambda one: -one.num_bytes))

    def order(self) -> Iterator[int]:
        """Indices of the moments in the order of the whole run, repeated parts as often as they run."""
        done = 0
        for repeat in self.repeats:
            yield from range(done, repeat.start)
            for _ in range(repeat.times):
                yield from range(repeat.start, repeat.stop)
            done = repeat.stop
        yield from range(done, len(self.moments))
