"""Amounts of a loop's turns drawn out to all its turns, however many there are.

A few turns at either end are passed one by one, one in the middle stands for all others. With n a number the amounts
are summed. As a formula in n, a turn costs what one in the middle costs, and those at the ends a little more or less:

    f(n) = n · middle + Σ (by what the i-th differs, where n > i) + Σ (by what the i-th from the end differs, likewise)
"""

from collections.abc import Iterable, Mapping, Sequence

from seqcost.algebra import Size, where
from seqcost.formulas.core.comparing import apart, equal, expanded
from seqcost.formulas.core.loops import Loop, Turn

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
        weights = [turn.weight for turn in loop.turns]
        return tuple(
            sum(w * amount for w, amount in zip(weights, amounts, strict=True) if not _is_0(amount))
            for amounts in zip(*passed, strict=True)
        )
    middle = next(i for i, turn in enumerate(loop.turns) if not isinstance(turn.weight, int))
    n = loop.count if loop.place is None else at.get(loop.place, loop.count)
    return tuple(_as_formula(n, [amounts[i] for amounts in passed], middle) for i in range(width))


def _as_formula(n: Size, passed: Sequence[Size], middle: int) -> Size:
    if all(map(_is_0, passed)):
        return 0
    usual = expanded(passed[middle])
    out = n * usual
    for ends in (passed[:middle], list(reversed(passed[middle + 1 :]))):
        for i, amount in enumerate(ends):
            more = expanded(amount - usual)
            if not equal(more, 0):
                out = out + (more if i == 0 else where(n > i, more, 0))
    return out


FEW = 2  # turns of which the first is among the last ones, too: what they cost is looked at by itself


def families(loops: Mapping[int, Size]) -> dict[int, int]:
    """Of loops whose turns are whole numbers apart (C − 1 turns beside C) the one with most turns, by its place.

    Each comes with the turns of which it is to be looked at by itself: while one of its family has few.
    """
    found: list[list[tuple[int, int]]] = []  # (turns more than the first, place)
    for place, count in sorted(loops.items()):
        for family in found:
            more = apart(count, loops[family[0][1]])
            if more is not None:
                family.append((more, place))
                break
        else:
            found.append([(0, place)])
    return {max(family)[1]: FEW + max(family)[0] - min(family)[0] for family in found}


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
    return tuple(y if _is_0(x) else x if _is_0(y) else x + y for x, y in zip(a, b, strict=True))


def _is_0(amount: Size) -> bool:
    """Without SymPy, for which adding nothing is as much work as adding something."""
    return isinstance(amount, int) and amount == 0
