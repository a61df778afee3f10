"""What a program is played for: one pass, what it keeps, or a training step; and what is read off the tape then."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any, Protocol

from seqcost.algebra import Bill, Kind, Line, Size
from seqcost.algebra.work import Direction, Kernel, Row
from seqcost.formulas.core.chain import LOOP, Key, steps_by_key
from seqcost.formulas.core.chain_of_loops import chain_drawn_out
from seqcost.formulas.core.engine import Engine
from seqcost.formulas.core.portions import Portions
from seqcost.formulas.core.recorder import ENDS
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.turns import Entry, families, with_few
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload

LAYERS = sum(ENDS["layers"]) + 1  # turns of equal layers that are passed: there the ends cannot meet
LOSS = "loss"  # the place of what stands behind the model in a training step


class Playable(Hashable, Protocol):
    """What a component gives to be played: see Component."""

    @property
    def takes_source(self) -> bool:
        """Whether it reads a second sequence."""

    def input(self, t: Tape) -> Value:
        """What is handed in."""

    def source_input(self, t: Tape) -> Value:
        """The second sequence."""

    def begin(self, t: Tape, source: Value) -> None:
        """What beginning a state of a source executes."""

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        """What the layer executes."""

    def loss(self, t: Tape, y: Value) -> Value:
        """What a training step minimises."""


class Ending(StrEnum):
    """How a pass ends."""

    NOTHING = "nothing"  # no gradients are asked for
    KEPT = "kept"  # what autograd keeps is looked at
    GRADIENT = "gradient"  # a gradient of the result is handed in and goes back to the input
    LOSS = "loss"  # a training step: a loss of the result, and its gradients


@dataclass(frozen=True)
class Reading:
    """The rows of a pass, what autograd kept at its end, and its most memory, where that was followed.

    Without rows where only what is kept is looked at.

    `purposes` says what each storage turned out to be for, in the order in which they came; `turns` how often the loops
    turn, where that is a number.
    """

    rows: tuple[Row, ...]
    kept: Bill
    peak_bytes: Size = None
    purposes: tuple[str, ...] = ()
    turns: frozenset[int] = frozenset()

    def of(self, *directions: Direction) -> tuple[Row, ...]:
        """The rows of these directions."""
        return tuple(row for row in self.rows if row.direction in directions)


def played(
    component: Playable, run: Workload, ending: Ending, *, remembering: bool = False, chained: bool = True
) -> Reading:
    """A pass through the program of a component; questions about one run read one tape.

    Memory is followed where it is `remembering`; without `chained` the rows of a formula in the turns of loops have no
    steps, which take several passes more.
    """
    return _played(component, run, ending, remembering, chained)


@lru_cache(maxsize=512)
def _played(component: Playable, run: Workload, ending: Ending, remembering: bool, chained: bool) -> Reading:
    t = Tape(run, recording=ending != Ending.NOTHING, remembering=remembering)
    kept = _pass(t, component, ending)
    peak = sum((size for _, size in t.residents), start=t.memory.peak) if remembering else None
    purposes = tuple(mark.purpose for mark in t.memory.marks)

    def again(turns: dict[int, int], *, counting: bool = True) -> tuple[Tape, _Entries]:
        other = Tape(run, recording=t.recording, counting=counting)
        other.counts, other.forced = list(t.counts), turns
        return other, _pass(other, component, ending)

    def chain(turns: dict[int, int]) -> dict[Key, Size]:
        return steps_by_key(again(turns, counting=False)[0].last)

    loops = {
        turn.loop.place: t.counts[turn.loop.place]
        for _, turns in t.rows
        for turn in turns
        if turn.loop.place is not None and len(turn.loop.turns) > LAYERS
    }
    looked_at = families(loops)
    few = {(place, k): again({place: k}) for place, most in looked_at.items() for k in range(most, 0, -1)}
    if not loops:
        steps = steps_by_key(t.last)
    else:
        steps = chain_drawn_out({place: loops[place] for place in looked_at}, looked_at, chain) if chained else {}
    rows = [] if ending == Ending.KEPT else _rows(t, {at: other for at, (other, _) in few.items()}, steps)
    saved = _saved(kept, {at: other for at, (_, other) in few.items()}, t.counts)
    counts = frozenset(turn.loop.count for _, turns in t.rows for turn in turns if isinstance(turn.loop.count, int))
    return Reading(tuple(rows), saved, peak, purposes, counts)


def peak_of(
    component: Playable, run: Workload, ending: Ending, *, apart: bool = False
) -> tuple[Portions, list[tuple[str, int]]]:
    """What memory consists of at the peak of a pass whose sizes are numbers; and what is there all the time.

    By category and module, or, `apart`, tensor by tensor, which takes several times as long.
    """
    purposes = played(component, run, ending, remembering=True).purposes
    t = Tape(run, recording=ending != Ending.NOTHING, remembering=True, purposes=purposes, apart=apart)
    _pass(t, component, ending)
    return t.memory.peak, t.residents


def _pass(t: Tape, component: Playable, ending: Ending) -> "_Entries":
    x = component.input(t)
    source = component.source_input(t) if component.takes_source and not t.run.encoded else None
    if source is not None and t.run.started:
        component.begin(t, source)
    if ending == Ending.LOSS:
        loss, kept = _loss(t, component, component.program(t, x, source))
        with t.at(LOSS):
            seed = t.kernel(
                "seed", Kernel.FILL, [loss], (), operator="ones_like", reads=[0], note="the gradient of a loss is 1"
            )
        engine = Engine(t)  # holds the gradients of the leaves, as the parameters do
        engine.run(loss, seed)
        return kept
    y = component.program(t, x, source)
    if ending == Ending.NOTHING:
        return {}
    kept = _kept(t, y)
    if ending == Ending.GRADIENT:
        Engine(t).run(y, t.given(y.shape, belongs="gradient", gradient=False))
    return kept


def _loss(t: Tape, component: Playable, y: Value) -> "tuple[Value, _Entries]":
    """Cross-entropy where logits come out, else the sum of the output; and what is kept by then."""
    with t.at(LOSS):
        loss = component.loss(t, y)
    return loss, _kept(t, loss)


def _kept(t: Tape, y: Value) -> "_Entries":
    found: _Entries = {}
    for storage in t.kept([y]):
        if storage.belongs != "weight":
            amount = storage.elements * t.bytes_of(storage.itemsize)
            found.setdefault(storage.name, []).append((storage.turns, (amount,)))
    return found


def _saved(kept: "_Entries", few: "Mapping[tuple[int, int], _Entries]", counts: Sequence[Size]) -> Bill:
    names = dict.fromkeys(name for entries in (kept, *few.values()) for name in entries)
    lines = []
    for name in names:
        of_few = {at: entries.get(name, []) for at, entries in few.items()}
        (amount,) = with_few(kept.get(name, []), of_few, counts, 1)
        lines.append(Line(name, amount, Kind.SAVED))
    return Bill(lines)


def _rows(t: Tape, few: Mapping[tuple[int, int], Tape], steps: dict[Key, Size]) -> list[Row]:
    """The rows of all turns, those of one operator, name and size together, with their steps on the chain."""
    first, general = _by_key(t)
    of_few = {at: _by_key(other) for at, other in few.items()}
    for rows, _ in of_few.values():
        first = rows | first
    out = []
    for key, row in first.items():
        seen = {at: entries.get(key, []) for at, (_, entries) in of_few.items()}
        launches, contraction, pointwise, moved, fresh = with_few(general.get(key, []), seen, t.counts, 5)
        out.append(
            replace(
                row,
                launches=launches,
                contraction=contraction,
                pointwise=pointwise,
                bytes=moved,
                fresh=fresh,
                steps=steps.pop((row.direction, row.path, row.name), 0),
            )
        )
    if LOOP in steps:
        note = "the chain through the loop"
        out.append(Row(name="loop", kernel=Kernel.OTHER, launches=0, steps=steps[LOOP], note=note))
    return out


_Entries = dict[Any, list[Entry]]


def _by_key(t: Tape) -> tuple[dict[Any, Row], _Entries]:
    first: dict[Any, Row] = {}
    entries: _Entries = {}
    for row, turns in t.rows:
        key = (row.direction, row.path, row.name, row.kernel, row.operator, *row.sizes, row.itemsize)
        first.setdefault(key, row)
        amounts = row.launches, row.contraction, row.pointwise, row.bytes, row.fresh
        entries.setdefault(key, []).append((turns, amounts))
    return first, entries
