"""The longest chain of dependent operators as a formula in how often loops turn.

A few passes, in which the loops are made to turn so or so often, tell by how much the chain grows from turn to turn:
that is the formula of each row, for loops of many turns. A chain can run beside a loop while that turns a few times,
and through it from then on; what the chain is longer than the formulas of the rows say then is the row "loop".
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from seqcost.algebra import Size, maximum, where
from seqcost.formulas.core.chain import LOOP, Key
from seqcost.formulas.core.comparing import equal, expanded

NEAR, FAR = 7, 31  # turns from which on, and between which, the chain grows by the same from turn to turn

Chain = Mapping[Key, Size]
Counts = Mapping[int, Size]  # how often loops turn, by their places


def chain_drawn_out(
    counts: Counts, few: Mapping[int, int], forced: Callable[[dict[int, int]], Chain]
) -> dict[Key, Size]:
    """Steps of the longest chain by row, with loops that turn `counts` times.

    `forced` gives the chain of loops that turn so often as it is told; up to `few` turns are looked at one by one.
    """
    chains = _Chains(counts, few, forced)
    out = {key: amount for key in chains.rows() if not equal(amount := chains.line({}, counts, key), 0)}
    surplus = chains.surplus({}, [], list(counts), counts)
    if not equal(surplus, 0):
        out[LOOP] = out.get(LOOP, 0) + surplus
    return out


class _Chains:
    """The chains that were walked, and the formulas through them."""

    def __init__(self, counts: Counts, few: Mapping[int, int], forced: Callable[[dict[int, int]], Chain]) -> None:
        self._places, self._forced = list(counts), forced
        self._known: dict[tuple[int, ...], Chain] = {}
        self._few = {place: self._bends(place, few[place]) for place in counts}

    def _at(self, turns: Mapping[int, int]) -> Chain:
        """The chain of loops of so many turns, NEAR where nothing is said."""
        key = tuple(turns.get(place, NEAR) for place in self._places)
        if key not in self._known:
            self._known[key] = self._forced(dict(zip(self._places, key, strict=True)))
        return self._known[key]

    def rows(self) -> dict[Key, None]:
        """The rows of a chain through loops of many turns."""
        seen = [self._at({})] + [self._at({place: NEAR + 1}) for place in self._places]
        return {key: None for chain in seen for key in chain}

    def _amount(self, turns: Mapping[int, int], key: Key | None) -> Size:
        chain = self._at(turns)
        return sum(chain.values(), start=0) if key is None else chain.get(key, 0)

    def line(self, fixed: Mapping[int, int], counts: Counts, key: Key | None = None) -> Size:
        """Steps of a row, or of all, with `fixed` turns of some loops and many of the others."""
        free = [place for place in self._places if place not in fixed]

        def more(*places: int) -> Size:
            return self._amount({**fixed, **dict.fromkeys(places, NEAR + 1)}, key)

        near = more()
        slopes = {place: expanded(more(place) - near) for place in free}
        out = expanded(near - sum((NEAR * slope for slope in slopes.values()), start=0))
        for place, slope in slopes.items():
            out = out + counts[place] * slope
        for a, b in combinations(free, 2):  # a loop in the turns of another
            both = expanded(more(a, b) - near - slopes[a] - slopes[b])
            if not equal(both, 0):
                out = out + (counts[a] - NEAR) * (counts[b] - NEAR) * both
        return out

    def _bends(self, place: int, few: int) -> int:
        """Up to how many turns a chain can be off its line; it bends upwards if at all."""

        def off(turns: int) -> bool:
            slope = self._amount({place: NEAR + 1}, None) - self._amount({place: NEAR}, None)
            on_line = self._amount({place: NEAR}, None) - (NEAR - turns) * slope
            return not equal(self._amount({place: turns}, None), on_line)

        while few < NEAR - 1 and off(few + 1):
            few += 1
        return few

    def surplus(self, fixed: Mapping[int, int], many: Sequence[int], rest: Sequence[int], counts: Counts) -> Size:
        """What all steps are more than the line of many turns says, one loop after the other looked at for few."""
        if not rest:
            off = expanded(self.line(fixed, counts) - self.line({}, {**counts, **fixed}))
            return off if fixed or len(counts) > 1 else off + self._beyond(counts)
        place, *others = rest
        out = self.surplus(fixed, [*many, place], others, counts)
        for turns in range(self._few[place], 0, -1):
            at = {**counts, place: turns}
            seen = self.surplus({**fixed, place: turns}, many, others, at)
            if not equal(self.surplus(fixed, [*many, place], others, at), seen):
                out = where(counts[place] > turns, out, seen)
        return out

    def _beyond(self, counts: Counts) -> Size:
        """What the chain is longer than its line where the one loop turns very often."""
        ((place, n),) = counts.items()
        near, far = self._amount({place: NEAR}, None), self._amount({place: FAR}, None)
        slope = self._amount({place: NEAR + 1}, None) - near
        beyond = expanded(far - self._amount({place: FAR - 1}, None) - slope)
        if equal(beyond, 0):
            return 0
        return maximum(0, expanded(far - near - (FAR - NEAR) * slope + (n - FAR) * beyond))
