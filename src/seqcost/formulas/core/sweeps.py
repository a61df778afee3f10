"""A question asked over sweeps of sizes: as formulas in letters, into which the sweeps are put.

Sizes of 0 and 1 and sizes that are equal make another program than others do (an axis of one element is not summed, a
square is not told from its transpose). So the points are sorted by that, and each kind of point has a formula of its
own, held against the numbers at its smallest and largest sizes and at points drawn at random. Where it says something
else, and where there are only a few points of a kind, these are asked one by one.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from seqcost.algebra.bill import Bill
from seqcost.algebra.evaluation import evaluated
from seqcost.algebra.expr import Size, check_size, is_array, symbol
from seqcost.algebra.line import Kind
from seqcost.errors import BadSize
from seqcost.formulas.core.workload import Workload

Ask = Callable[[Any, Workload], Bill]

ONE_BY_ONE = 48  # points of a kind that are faster asked than a formula
DRAWN = 20  # points at which a formula is held against the numbers, besides its smallest and largest sizes
MOST = 10**5  # points that are asked one by one


def over_sweeps(ask: Ask, component: Any, run: Workload) -> Bill:
    """The Bill of a component and a run some of whose sizes are sweeps."""
    given = [*_arrays(run), *_arrays(component)]
    return _Sweep(ask, component, run, given).bill() if given else ask(component, run)


class _Sweep:
    """A question over sweeps: `letters` are the sizes that are swept, with their numbers at all points in a row."""

    def __init__(self, ask: Ask, component: Any, run: Workload, given: Sequence[Any]) -> None:
        import numpy as np

        self._ask, self._component, self._run = ask, component, run
        self._shape = np.broadcast_shapes(*(size.shape for size in given))
        self._exact = all(size.dtype == object for size in given)
        self._own: dict[int, set[str]] = {}  # of a config, the sizes that it makes of others by itself
        self._letter: dict[int, str] = {}  # of each array
        self._letters: dict[str, Any] = {}
        for holder in (run, component):
            self._changed(holder, self._named)
        self._num_points = next(iter(self._letters.values())).size

    def bill(self) -> Bill:
        """Every line with its amounts at all points."""
        self._refuse_wrong_sizes()
        parts = [part for kind, points in self._kinds() for part in self._answers(kind, points)]
        found = {(line.name, line.kind): line for bill, _ in parts for line in bill}
        amounts = {key: self._zeros() for key in found}
        for bill, points in parts:
            for line in bill:
                amounts[line.name, line.kind][points] = line.amount
        return Bill(dataclasses.replace(line, amount=amounts[key].reshape(self._shape)) for key, line in found.items())

    def _zeros(self) -> Any:
        import numpy as np

        return np.full(self._num_points, 0, dtype=object if self._exact else float)

    # --- letters ------------------------------------------------------------------------------------------------------

    def _named(self, array: Any) -> Any:
        """A letter for an array; one for all that have the same numbers."""
        import numpy as np

        if id(array) not in self._letter:
            row = np.broadcast_to(check_size(array), self._shape).ravel()
            if not self._exact and (row % 1).any():
                raise BadSize(f"{row[(row % 1).argmax()]} was given in a sweep; whole numbers are allowed.")
            known = (letter for letter, other in self._letters.items() if (other == row).all())
            letter = next(known, f"swept{len(self._letters)}")
            self._letters.setdefault(letter, row)
            self._letter[id(array)] = letter
        return array

    def _changed(self, holder: Any, size_of: Callable[[Any], Size]) -> Any:
        """The same with a size in place of each array."""
        if is_array(holder):
            return size_of(holder)
        if isinstance(holder, tuple):
            return tuple(self._changed(item, size_of) for item in holder)
        if dataclasses.is_dataclass(holder) and next(_arrays(holder), None) is not None:
            own = self._own_sizes(holder)
            given = {name: self._changed(value, size_of) for name, value in _fields(holder).items() if name not in own}
            return dataclasses.replace(holder, **given, **dict.fromkeys(own))  # type: ignore[type-var]
        return holder

    def _own_sizes(self, holder: Any) -> set[str]:
        """What a config makes of its other sizes where it is not given: K of D/H stays so."""
        if id(holder) not in self._own:
            defaults = {field.name: field.default for field in dataclasses.fields(holder)}
            self._own[id(holder)] = {
                name
                for name, value in _fields(holder).items()
                if is_array(value) and defaults[name] is None and _makes_itself(holder, name, value)
            }
        return self._own[id(holder)]

    def _with(self, sizes: Mapping[str, Size]) -> tuple[Any, Workload]:
        """The component and the run of these sizes."""

        def size_of(array: Any) -> Size:
            return sizes[self._letter[id(array)]]

        return self._changed(self._component, size_of), self._changed(self._run, size_of)

    def _at(self, point: int) -> dict[str, int]:
        return {letter: int(row[point]) for letter, row in self._letters.items()}

    def _refuse_wrong_sizes(self) -> None:
        """Every config that is swept over is made once, so that it refuses what it would refuse by itself."""
        of_component: dict[str, Any] = {}

        def noted(array: Any) -> Any:
            letter = self._letter[id(array)]
            of_component[letter] = self._letters[letter]
            return array

        self._changed(self._component, noted)
        others = dict.fromkeys(self._letters, 1)
        for sizes in dict.fromkeys(zip(*(row.tolist() for row in of_component.values()), strict=True)):
            self._with(others | dict(zip(of_component, map(int, sizes), strict=True)))

    # --- points -------------------------------------------------------------------------------------------------------

    def _kinds(self) -> Iterator[tuple[dict[str, Size], Any]]:
        """Points that have one formula: 0, 1 or a letter for each size, one for sizes that are equal; and which."""
        import numpy as np

        code = np.zeros(self._num_points, dtype=np.int64)
        rows = list(self._letters.values())
        for i, row in enumerate(rows):
            like = np.full(self._num_points, 2 + i)
            for j in reversed(range(i)):
                like[rows[j] == row] = 2 + j
            for small in (0, 1):
                like[row == small] = small
            code = np.unique(code * (2 + len(rows)) + like, return_inverse=True)[1]
        for points in (np.flatnonzero(code == kind) for kind in range(code.max() + 1)):
            at = self._at(points[0])
            same = {size: letter for letter, size in reversed(at.items())}  # the first letter of a size
            yield {z: size if size < 2 else symbol(same[size]) for z, size in at.items()}, points

    def _answers(self, kind: Mapping[str, Size], points: Any) -> Iterator[tuple[Bill, Any]]:
        """Bills, each with the points of which it has the amounts."""
        if len(points) > ONE_BY_ONE:
            formula = self._ask(*self._with(kind))
            sizes = {letter: row[points] for letter, row in self._letters.items()}
            out = formula.map(lambda amount: evaluated(amount, sizes) + self._zeros()[points])
            if all(_agree(out, self._ask(*self._with(self._at(points[i]))), i) for i in self._looked_at(sizes)):
                yield out, points
                return
        alike: dict[tuple[int, ...], list[int]] = {}
        for point in points:
            alike.setdefault(tuple(self._at(point).values()), []).append(point)
        if len(alike) > MOST:
            raise BadSize(
                f"a sweep of {len(alike):,} points was given that have no one formula; at most {MOST:,} are asked one "
                "by one. Sweep fewer sizes at once, or over fewer points."
            )
        for values, at in alike.items():
            yield self._ask(*self._with(dict(zip(self._letters, values, strict=True)))), at

    def _looked_at(self, sizes: Mapping[str, Any]) -> list[int]:
        """The points of a kind at which its formula is held against the numbers."""
        import numpy as np

        ends = [end for row in sizes.values() for end in (row.argmin(), row.argmax())]
        drawn = np.random.default_rng(0).integers(0, len(next(iter(sizes.values()))), DRAWN)
        return sorted({0, -1, *map(int, ends), *map(int, drawn)})


def _arrays(holder: Any) -> Iterator[Any]:
    """The sweeps among the sizes of a component and of the components in it."""
    if is_array(holder):
        yield holder
    elif isinstance(holder, tuple):
        for item in holder:
            yield from _arrays(item)
    elif dataclasses.is_dataclass(holder):
        for value in _fields(holder).values():
            yield from _arrays(value)


def _fields(holder: Any) -> dict[str, Any]:
    return {field.name: getattr(holder, field.name) for field in dataclasses.fields(holder)}


def _makes_itself(holder: Any, name: str, value: Any) -> bool:
    try:
        made = getattr(dataclasses.replace(holder, **{name: None}), name)
    except BadSize:  # without it the other sizes do not go together
        return False
    return is_array(made) and made.shape == value.shape and bool((made == value).all())


def _agree(out: Bill, numbers: Bill, point: int) -> bool:
    """Whether the lines have the amounts of the numbers at a point; exact, or as floats are.

    Of depth the total: where chains are as long as each other a formula names the one of many turns.
    """
    if any(line.kind == Kind.DEPTH for line in out):
        return _same(out.total(), numbers.total(), point)
    expected: dict[tuple[str, Kind], Size] = {(line.name, line.kind): line.amount for line in numbers}
    agree = all(_same(line.amount, expected.pop((line.name, line.kind), 0), point) for line in out)
    return agree and not any(expected.values())


def _same(found: Size, wanted: Size, point: int) -> bool:
    return bool(abs(found[point] - wanted) <= 1e-12 * abs(wanted) * (found.dtype != object))
