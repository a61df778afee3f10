"""What is alive on a tape, and the most that ever was.

Storages come when an operator makes them and go when the last tensor that shows them is gone, as in PyTorch: a program
holds its tensors in the same variables as the layer does, and the nodes of the graph hold what autograd keeps.

One turn of a loop can stand for many equal ones. What it leaves behind then is there as often: a storage that was made
in it, and whose counterpart of the turn before is alive as well, is held for every turn (kept for backward, or one of
the pieces that are stacked later); one whose counterpart is gone is carried from turn to turn, and is there once.
"""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

from seqcost.algebra import Size
from seqcost.algebra.peak import SAVED, TEMPORARY
from seqcost.formulas.core.chain import Step, jump
from seqcost.formulas.core.comparing import is_longer
from seqcost.formulas.core.loops import Turn
from seqcost.formulas.core.portions import Moment, Part, Portions
from seqcost.formulas.core.values import Mark, Storage


@dataclass(eq=False, slots=True)
class Passage:
    """What came and went while a turn was passed, forward or backward."""

    turn: Turn
    made: list[tuple["weakref.ref[Storage]", Mark]] = field(default_factory=list)
    written: dict[Mark, Step | None] = field(default_factory=dict)  # changed in place, and their steps before
    ended: list[Step | None] = field(default_factory=list)  # the steps of what was made, when the turn was over
    lost: Size = 0  # bytes of copies that went, each counted once
    peak: Size = 0


class Memory:
    """Bytes alive, the most of them, and the passages through turns under way.

    Where it is told the `purposes` of all storages, in the order in which they come, its bytes are `Portions`; by
    category and module, or, `apart`, tensor by tensor.
    """

    def __init__(self, purposes: Sequence[str] | None = None, *, apart: bool = False) -> None:
        self.live: Size = 0
        self.peak: Size = 0
        self.passages: list[Passage] = []
        self.marks: list[Mark] = []  # of all storages, in the order in which they came
        self._purposes, self._apart = purposes, apart
        if purposes is not None:
            self.live = self.peak = Portions({})

    def come(self, storage: Storage, shape: tuple[Size, ...], itemsize: Size) -> None:
        """A storage is there, of a tensor of this shape."""
        if self._purposes is not None:
            path, _, name = storage.name.rpartition(".")
            part: Part = self._purposes[len(self.marks)], path
            storage.num_bytes = Portions({(*part, name, shape, itemsize) if self._apart else part: storage.num_bytes})
        self.marks.append(storage.mark)
        self.live = self.live + storage.num_bytes
        if self.passages:
            self.passages[-1].made.append((weakref.ref(storage), storage.mark))

    def go(self, storage: Storage) -> None:
        """A storage is gone; of its copies all, but one in a turn that stands for the turns that made them."""
        amount = storage.num_bytes
        inside = []
        for turn in storage.copies:
            passage = next((p for p in self.passages if p.turn is turn), None)
            if passage is None:
                amount = amount * turn.weight
            else:
                inside.append(passage)
        self.live = self.live - amount
        for passage in inside:
            passage.lost = passage.lost + amount

    def settle(self, since: int = 0) -> None:
        """What is there of the storages that came since then is kept for the backward pass that begins now."""
        for mark in self.marks[since:]:
            if not mark.gone:
                mark.turns_out(SAVED)

    def look(self, kernel_bytes: Size, moment: Moment) -> None:
        """A kernel runs, and holds so much besides its tensors."""
        if isinstance(self.live, Portions):
            now: Size = self.live.of((TEMPORARY, ""), kernel_bytes).during(moment)
        else:
            now = self.live + kernel_bytes
        if self.passages:
            self.passages[-1].peak = larger(self.passages[-1].peak, now)
        else:
            self.peak = larger(self.peak, now)

    def enter(self, turn: Turn) -> None:
        """A turn begins."""
        self.passages.append(Passage(turn, peak=self.live))

    def leave(self) -> None:
        """The turn under way ends, and with it all that it stands for."""
        passage = self.passages.pop()
        turn, more = passage.turn, passage.turn.weight - 1
        peak = passage.peak
        if not (isinstance(more, int) and more == 0):
            growth = more * (_multiplied(passage) - passage.lost)
            self.live = self.live + growth
            peak = larger(peak, peak + growth)  # of the first of the turns and of the last
            made = {id(mark) for _, mark in passage.made}
            for mark, before in passage.written.items():
                if mark.step is not None and id(mark) not in made:
                    mark.step = jump(mark.step, before, more)
        passage.ended = [mark.step for _, mark in passage.made]
        turn.loop.last = passage
        if self.passages:
            outer = self.passages[-1]
            outer.peak = larger(outer.peak, peak)
            outer.made += passage.made
            outer.written = passage.written | outer.written
        else:
            self.peak = larger(self.peak, peak)


def larger(a: Size, b: Size) -> Size:
    """The larger of two sizes."""
    if isinstance(a, int) and isinstance(b, int):
        return max(b, a)
    if isinstance(a, Portions):
        return a if a.total >= b.total else b
    return a if is_longer(a, b) else b


def _multiplied(passage: Passage) -> Size:
    """Give what a turn made the number of turns that it stands for; the bytes that one turn leaves to be held."""
    turn = passage.turn
    growth: Size = 0
    before = turn.loop.last
    assert before is not None, "a turn that stands for others came first"
    assert len(before.made) == len(passage.made), "the turns of a loop are not alike"
    for (ref, mark), (old_ref, _), ended in zip(passage.made, before.made, before.ended, strict=True):
        if mark.step is not None:
            mark.step = jump(mark.step, ended, turn.weight - 1)
        storage = ref()
        if storage is None or old_ref() is None:
            continue
        amount = storage.num_bytes
        for copy in storage.copies:
            amount = amount * copy.weight
        growth = growth + amount
        storage.copies = (*storage.copies, turn)
    return growth
