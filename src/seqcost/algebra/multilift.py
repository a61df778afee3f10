"""From exact values at a few sizes to the polynomial in several letters behind them, or the letter that refuses.

Each letter alone first: along its axis, the others at their first size, the values must be those of a polynomial of
bounded degree, with a spare size that agrees. That gives the degree in every letter. Two letters whose mixed difference
is 0 never meet in a term, so that the terms are known to be few before they are looked for; they are determined on a
grid that has exactly as many points (Newton's divided differences in each letter, exact for such a set). At the end
points that no step has used, all letters changed at once, must agree: what was concluded from the axes and from the
differences is confirmed there, or nothing is claimed.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations, product

from seqcost.algebra.curve import Curve, Powers
from seqcost.algebra.lift import interpolate

MAX_DEGREE = 2
SPARE_SIZES = 1  # on the axis of each letter, besides one that only mixed points have

Point = tuple[int, ...]
Values = Mapping[str, int | Fraction]


def sizes_wanted(degree: int = MAX_DEGREE) -> int:
    """How many sizes of a letter are needed: for its degree, the spare ones, and a fresh one for mixed points."""
    return degree + 1 + SPARE_SIZES + 1


def multilift(
    costs: Callable[[Mapping[str, int]], Values],
    sizes: Mapping[str, Sequence[int]],
    degrees: Mapping[str, int] | None = None,
    *,
    confirm: Sequence[Mapping[str, int]] = (),
) -> dict[str, Curve]:
    """Every quantity that `costs` gives, as a polynomial in the letters.

    Parameters
    ----------
    costs
        Exact values, by quantity, at one size for each letter. Each point is asked for once.
    sizes
        For each letter, in the order in which terms are to be written, `sizes_wanted(degree)` sizes or more. The
        first is where the others vary; the last one belongs to mixed points alone.
    degrees
        Highest power that is looked for in a letter; MAX_DEGREE where nothing is said.
    confirm
        Further points that must agree.

    """
    search = _Search(costs, sizes, dict.fromkeys(sizes, MAX_DEGREE) | dict(degrees or {}))
    mixed = search.mixed_points() + [tuple(point[letter] for letter in search.letters) for point in confirm]
    names = list(search.at(search.base))
    return {name: search.fitted(name, mixed) for name in names}


class _Search:
    def __init__(
        self,
        costs: Callable[[Mapping[str, int]], Values],
        sizes: Mapping[str, Sequence[int]],
        degrees: Mapping[str, int],
    ) -> None:
        self.letters = tuple(sizes)
        self._costs = costs
        self._degrees = [degrees[letter] for letter in self.letters]
        self._sizes = [tuple(sizes[letter]) for letter in self.letters]
        for letter, given, degree in zip(self.letters, self._sizes, self._degrees, strict=True):
            assert len(set(given)) == len(given) >= sizes_wanted(degree), f"too few sizes of {letter}: {given}"
        self.base: Point = tuple(given[0] for given in self._sizes)
        self._seen: dict[Point, Values] = {}

    def at(self, point: Point) -> Values:
        if point not in self._seen:
            self._seen[point] = self._costs(dict(zip(self.letters, point, strict=True)))
        return self._seen[point]

    def mixed_points(self) -> list[Point]:
        """Two points at which every letter has a size that no grid has: its spare one, its fresh one."""
        spare = [given[degree + 1] for given, degree in zip(self._sizes, self._degrees, strict=True)]
        return [tuple(spare), tuple(given[-1] for given in self._sizes)]

    def fitted(self, name: str, mixed: Sequence[Point]) -> Curve:
        degrees: list[int] = []
        failed: list[int] = []
        for place in range(len(self.letters)):
            degree = self._degree(name, place)
            degrees.append(degree or 0)
            if degree is None:
                failed.append(place)
        if failed:
            return self._unfitted(failed, "the others being fixed")
        found = self._polynomial(name, degrees, mixed)
        wrong = [point for point in mixed if found(**self._named(point)) != self.at(point)[name]]
        if wrong:
            return self._unfitted(*self._blamed(name, found, wrong[0]))
        return found

    def _moved(self, point: Point, place: int, size: int) -> Point:
        return (*point[:place], size, *point[place + 1 :])

    def _named(self, point: Point) -> dict[str, int]:
        return dict(zip(self.letters, point, strict=True))

    def _degree(self, name: str, place: int) -> int | None:
        """Degree along the axis of a letter, None if a polynomial of no allowed degree agrees with all its sizes."""
        used = self._sizes[place][: self._degrees[place] + 1 + SPARE_SIZES]
        line: dict[Powers, Fraction] = {
            (i,): Fraction(self.at(self._moved(self.base, place, n))[name]) for i, n in enumerate(used)
        }
        degree = max((power for power, *_ in interpolate(line, [used])), default=0)
        return degree if degree <= self._degrees[place] else None

    def _meet(self, name: str, first: int, second: int) -> bool:
        one, two = self._sizes[first][1], self._sizes[second][1]
        corners = [
            self.base,
            self._moved(self.base, first, one),
            self._moved(self.base, second, two),
            self._moved(self._moved(self.base, first, one), second, two),
        ]
        a, b, c, d = (Fraction(self.at(corner)[name]) for corner in corners)
        return a - b - c + d != 0

    def _polynomial(self, name: str, degrees: Sequence[int], mixed: Sequence[Point]) -> Curve:
        varying = [place for place, degree in enumerate(degrees) if degree]
        meeting = {pair for pair in combinations(varying, 2) if self._meet(name, *pair)}
        grid = [
            index
            for index in product(*(range(degree + 1) for degree in degrees))
            if all(pair in meeting for pair in combinations([p for p, i in enumerate(index) if i], 2))
        ]
        values = {
            index: Fraction(self.at(tuple(given[i] for given, i in zip(self._sizes, index, strict=True)))[name])
            for index in grid
        }
        terms = interpolate(values, self._sizes)
        ranges = {
            letter: (min(seen), max(seen))
            for letter, seen in zip(self.letters, self._seen_sizes(mixed), strict=True)
        }  # fmt: skip
        return Curve(self.letters, terms, ranges=ranges)

    def _seen_sizes(self, mixed: Sequence[Point]) -> list[list[int]]:
        axes = [given[: degree + 1 + SPARE_SIZES] for given, degree in zip(self._sizes, self._degrees, strict=True)]
        return [[*axis, *(point[place] for point in mixed)] for place, axis in enumerate(axes)]

    def _blamed(self, name: str, found: Curve, wrong: Point) -> tuple[list[int], str]:
        """Letters that alone break the agreement, else those whose return to the first size mends it, else all."""

        def agrees(point: Point) -> bool:
            return bool(found(**self._named(point)) == self.at(point)[name])

        places = [place for place, size in enumerate(wrong) if size != self.base[place]]
        alone = [place for place in places if not agrees(self._moved(self.base, place, wrong[place]))]
        mending = alone or [place for place in places if agrees(self._moved(wrong, place, self.base[place]))]
        where = ", ".join(f"{letter} = {size}" for letter, size in self._named(wrong).items())
        return mending or places, f"what agrees at the other sizes fails at {where}"

    def _unfitted(self, places: Sequence[int], where: str) -> Curve:
        failed = tuple(self.letters[place] for place in places)
        words = " and ".join(
            f"{self.letters[place]} (degree {self._degrees[place]} or less, sizes "
            f"{', '.join(map(str, self._sizes[place][: self._degrees[place] + 1 + SPARE_SIZES]))})"
            for place in places
        )
        return Curve(self.letters, refusing=failed, reason=f"not a polynomial in {words}: {where}")
