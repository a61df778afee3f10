"""Amounts of a loop's turns drawn out to all its turns, however many there are.

A few turns at either end are passed one by one, one in the middle stands for all others. With n a number the amounts
are summed. As a formula in n, a turn costs what one in the middle costs, and those at the ends a little more or less:

    f(n) = n · middle + Σ (by what the i-th differs, where n > i) + Σ (by what the i-th from the end differs, likewise)
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations

from seqcost.algebra import Size, maximum, where
from seqcost.formulas.core.chain import LOOP, Key
from seqcost.formulas.core.loops import Loop, Turn
from seqcost.formulas.core.values import equal, expanded

Amounts = tuple[Size, ...]
Entry = tuple[tuple[Turn, ...], Amounts]


def drawn_out(entries: Iterable[Entry], width: int, at: Mapping[int, int] | None = None) -> Amounts:
    """The sum of `width` amounts each, of all turns of all loops; of a loop by its place so many turns, `at`."""
    total: Amounts = (0,) * width
    inside: dict[int, tuple[Loop, dict[int, list[Entry]]]] = {}
    for turns, amounts in entries:
        if not turns:
            total = _plus(total, amounts)
            continue
        _, by_turn = inside.setdefault(id(turns[0].loop), (turns[0].loop, {}))
        by_turn.setdefault(turns[0].index, []).append((turns[1:], amounts))
    for loop, by_turn in inside.values():
        passed = [drawn_out(by_turn.get(turn.index, ()), width, at) for turn in loop.turns]
        total = _plus(total, _of_loop(loop, passed, width, at or {}))
    return total


def _of_loop(loop: Loop, passed: Sequence[Amounts], width: int, at: Mapping[int, int]) -> Amounts:
    if isinstance(loop.count, int):
        out: Amounts = (0,) * width
        for turn, amounts in zip(loop.turns, passed, strict=True):
            out = _plus(out, tuple(turn.weight * amount for amount in amounts))
        return out
    middle = next(i for i, turn in enumerate(loop.turns) if not isinstance(turn.weight, int))
    n = loop.count if loop.place is None else at.get(loop.place, loop.count)
    return tuple(_as_formula(n, [amounts[i] for amounts in passed], middle) for i in range(width))


def _as_formula(n: Size, passed: Sequence[Size], middle: int) -> Size:
    usual = expanded(passed[middle])
    out = n * usual
    for ends in (passed[:middle], list(reversed(passed[middle + 1 :]))):
        for i, amount in enumerate(ends):
            more = expanded(amount - usual)
            if not equal(more, 0):
                out = out + (more if i == 0 else where(n > i, more, 0))
    return out


FEW = (2, 1)  # turns of which the first is among the last ones, too: what they cost is looked at by itself


def with_few(
    general: Sequence[Entry], few: Mapping[tuple[int, int], Sequence[Entry]], counts: Sequence[Size], width: int
) -> Amounts:
    """The sum as a formula, and where a loop has so few turns that its ends meet, what was seen there.

    `few` has the entries of passes in which the loop of a place turned once or twice.
    """
    out = list(drawn_out(general, width))
    for (place, k), entries in few.items():
        expected, seen = drawn_out(general, width, {place: k}), drawn_out(entries, width)
        for i in range(width):
            if not equal(expanded(expected[i] - seen[i]), 0):
                out[i] = where(counts[place] > k, out[i], seen[i])
    return tuple(out)


def _plus(a: Amounts, b: Amounts) -> Amounts:
    return tuple(x + y for x, y in zip(a, b, strict=True))


# --- the chain of dependent operators ---------------------------------------------------------------------------------

NEAR, FAR = 7, 31  # turns from which on, and between which, the chain grows by the same from turn to turn
Chain = Mapping[Key, Size]


def chain_drawn_out(counts: Mapping[int, Size], forced: Callable[[dict[int, int]], Chain]) -> dict[Key, Size]:
    """The longest chain as a formula in how often loops turn, from chains of loops `forced` to turn so or so often.

    `counts` has them by the loops' places. A chain can run beside a loop while that turns a few times, and through it
    from then on: then it is as long as the longer of two lines, that of a few turns and that of many, whose surplus is
    the row "loop".
    """
    everywhere = dict.fromkeys(counts, NEAR)
    near = forced(everywhere)
    out: dict[Key, Size] = dict(near)
    longer = {place: forced(everywhere | {place: NEAR + 1}) for place in counts}
    for place, more in longer.items():
        for key in {**near, **more}:
            slope = expanded(more.get(key, 0) - near.get(key, 0))
            if not equal(slope, 0):
                out[key] = out.get(key, 0) + (counts[place] - NEAR) * slope
    for a, b in combinations(counts, 2):  # a loop in the turns of another
        both = forced(everywhere | {a: NEAR + 1, b: NEAR + 1})
        for key in {**near, **both}:
            slope = expanded(both.get(key, 0) - longer[a].get(key, 0) - longer[b].get(key, 0) + near.get(key, 0))
            if not equal(slope, 0):
                out[key] = out.get(key, 0) + (counts[a] - NEAR) * (counts[b] - NEAR) * slope
    if len(counts) == 1:
        ((place, n),) = counts.items()
        surplus = _surplus(n, lambda k: _total(forced({place: k})))
        if not equal(expanded(surplus), 0):
            out[LOOP] = surplus
    return out


def _surplus(n: Size, depth: Callable[[int], Size]) -> Size:
    """What the chain is longer than the line through `NEAR` turns: beyond it for many turns, off it for few."""
    slope = expanded(depth(NEAR + 1) - depth(NEAR))
    far = expanded(depth(FAR) - depth(FAR - 1))
    out: Size = 0
    if not equal(far, slope):
        beyond = depth(FAR) - depth(NEAR) - (FAR - NEAR) * slope
        out = maximum(0, expanded(beyond + (n - FAR) * (far - slope)))
    for k in range(NEAR - 1, 0, -1):
        off = expanded(depth(k) - depth(NEAR) + (NEAR - k) * slope)
        if not equal(off, 0):
            out = where(n > k, out, off)
    return out


def _total(chain: Chain) -> Size:
    return sum(chain.values(), start=0)
