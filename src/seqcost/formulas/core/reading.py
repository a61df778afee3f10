"""What a tape is read for: operators forward and backward, what is kept, and all of it drawn out to n turns."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from seqcost.algebra import Size, maximum, where
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.tape import FAR, Tape
from seqcost.formulas.core.values import Value, equal, expanded


@dataclass(frozen=True)
class Reading:
    """What one pass over the tape gives, as rows that can be laid beside those of another."""

    forward: dict[str, Operator]
    backward: dict[str, Operator]
    kept: dict[str, Size]
    keeps: frozenset[str]  # "input", "source", "output"
    trips: Size

    @classmethod
    def of(cls, tape: Tape, y: Value) -> "Reading":
        """The rows of a tape whose program ended in y."""
        forward = merged(tape.operators)
        for name in y.chain:
            forward[name] = plus(forward[name], Operator(name=name, steps=1, note=forward[name].note))
        kept: dict[str, Size] = {}
        keeps = set()
        for storage in tape.kept([y]):
            if storage is y.storage and not storage.belongs:
                keeps.add("output")
            elif storage.belongs:
                keeps.add(storage.belongs)
            else:
                size = tape.run.itemsize if storage.itemsize is None else storage.itemsize
                kept[storage.name] = kept.get(storage.name, 0) + storage.elements * size
        return cls(forward, merged(tape.backward([y])), kept, frozenset(keeps - {"weight"}), tape.trips)


AMOUNTS = ("contraction", "pointwise", "reads", "writes", "other_bytes", "steps")


def merged(operators: Iterable[Operator]) -> dict[str, Operator]:
    """Operators of one name added up."""
    rows: dict[str, Operator] = {}
    for operator in operators:
        rows[operator.name] = plus(rows[operator.name], operator) if operator.name in rows else operator
    return rows


def plus(a: Operator, b: Operator) -> Operator:
    """Both amounts under the first one's name."""
    return Operator(name=a.name, note=a.note, **{k: getattr(a, k) + getattr(b, k) for k in AMOUNTS})


def through(amounts: Sequence[Size], n: Size) -> Size:
    """The line through what 1, 2, 3, … turns cost, at n turns; the first ones may lie beside it."""
    slope = expanded(amounts[-1] - amounts[-2])
    assert equal(expanded(amounts[-2] - amounts[-3]), slope), f"a loop's cost is no line: {amounts}"
    start = len(amounts) - 3
    while start and equal(expanded(amounts[start] - amounts[start - 1]), slope):
        start -= 1
    out = amounts[start] + (n - start - 1) * slope
    for turns in range(start, 0, -1):
        out = where(n > turns, out, amounts[turns - 1])
    return out


def longest_chain(
    rows: dict[str, Operator], several: Sequence[Reading], far: Callable[[], Sequence[Reading]], n: Size
) -> dict[str, Operator]:
    """The rows with their steps at n turns.

    The longest chain of dependent operators can run beside the loop while that turns a few times, and through it from
    then on. It is as long as the longer of two lines: the chain of the first turns, whose operators keep their names,
    and the one of many turns, whose surplus is the row "loop".
    """
    steps = [{name: row.steps for name, row in reading.forward.items()} for reading in several[:4]]
    totals = [sum(row.values()) for row in steps]
    through_loop = totals[3] > totals[2] and all(
        row - steps[2].get(name, 0) == steps[2].get(name, 0) - steps[1].get(name, 0) for name, row in steps[3].items()
    )
    near = steps if through_loop else [steps[0], *[steps[1]] * 3]
    out = {name: replace(row, steps=through([of.get(name, 0) for of in near], n)) for name, row in rows.items()}
    if through_loop:
        return out
    first, second = (sum(row.steps for row in reading.forward.values()) for reading in far())
    surplus = first + (n - FAR[0]) * (second - first) - totals[1]
    if second > first:
        note = "the chain through the loop"
        out["loop"] = Operator(name="loop", steps=where(n > 1, maximum(surplus, 0), 0), note=note)
    return out
