"""The longest chain of dependent operators, step by step, also through the turns of a loop that one turn stands for."""

from collections.abc import Iterable
from dataclasses import dataclass

from seqcost.algebra import Size
from seqcost.formulas.core.comparing import equal, is_longer

Key = tuple[str, str, str]  # direction, path, name: of a row


@dataclass(eq=False, slots=True)
class Step:
    """An operator on a chain: how long the chain is up to it, and what stood before.

    With `again` it is no operator but a jump over the turns that a turn of a loop stands for: the chain from `again` to
    `before` runs that often once more.
    """

    depth: Size
    key: Key | None
    count: Size = 1
    before: "Step | None" = None
    again: "Step | None" = None
    times: Size = 0


def after(before: Step | None, key: Key, count: Size = 1) -> Step | None:
    """The step of an operator; none behind what is no chain."""
    return None if before is None else Step(before.depth + count, key, count, before)


def jump(now: Step, then: Step | None, times: Size) -> Step:
    """`now`, with what lies between `then` and it `times` times more."""
    if then is None:
        return now
    more = (now.depth - then.depth) * times
    return Step(now.depth + more, None, 0, now, then, times)


def latest(steps: Iterable[Step | None]) -> Step | None:
    """The longest of several chains; where that depends on the sizes, the one that is longer for large ones."""
    out: Step | None = None
    for step in steps:
        if step is not None and (out is None or is_longer(step.depth, out.depth)):
            out = step
    return out


def steps_by_key(last: Step | None) -> dict[Key, Size]:
    """How many steps of the chain each row has."""
    return _counted(last, None)


def _between(then: Step, now: Step) -> dict[Key, Size]:
    """Steps of the chain from one step to a later one; of a chain that came another way, as many as it is longer."""
    found = _counted(now, then)
    wanted = now.depth - then.depth
    return found if equal(sum(found.values(), start=0), wanted) else {LOOP: wanted}


def _counted(now: Step | None, then: Step | None) -> dict[Key, Size]:
    """Steps by key from `now` back to `then`, or to what is no longer a chain than that; else to the beginning."""
    found: dict[Key, Size] = {}
    step = now
    while step is not None and step is not then and (then is None or is_longer(step.depth, then.depth)):
        if step.again is not None and step.before is not None:
            for key, count in _between(step.again, step.before).items():
                found[key] = found.get(key, 0) + count * step.times
        elif step.key is not None:
            found[step.key] = found.get(step.key, 0) + step.count
        step = step.before
    return found


LOOP: Key = ("forward", "", "loop")  # the chain through a loop, where it cannot be named
