"""From exact values at a few lengths to the formula behind them, or an honest refusal.

`lift` samples a cost at whole lengths and interpolates with rational arithmetic; spare points that were not used must
agree, else there is no polynomial. A layer that works in chunks of c tokens fills the last one up, so its cost is no
polynomial in T but one in T and in ⌈T/c⌉: the blocks that may be meant are given, and which of them explain the cost is
found out, smallest explanation first. This is how both wings answer "as a function of T" exactly: a trace, which only
knows numbers, and a formula, when SymPy is not worth its import.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from math import prod

from seqcost.algebra.curve import Curve, Powers

MAX_DEGREE = 4
SPARE_POINTS = 2
MOST_BLOCKS = 2  # different ones in one formula
FAR_LENGTHS = 3  # of those at which a cost was asked anyway: they confirm what was found among whole blocks
_PRIME = 2**61 - 1  # what has no solution modulo a prime has no exact one either, and is found out far sooner

Cost = Callable[[int], int | Fraction]


def lift(
    cost: Cost, lengths: Sequence[int], letter: str = "T", *, blocks: Sequence[int] = (), spare: int = SPARE_POINTS
) -> Curve:
    """The formula behind `cost`, the shortest lengths dropped while they do not agree with the rest; else samples.

    Short lengths may follow another branch (a window longer than the text, a look-ahead cut off), so the fit is
    tried from the longest lengths downwards; what remains is valid from its shortest length on. Where no polynomial
    fits and `blocks` are given, the cost is asked at further lengths, within and beyond whole blocks.
    """
    values = {n: Fraction(cost(n)) for n in lengths}
    ordered = sorted(values)
    for start in range(len(ordered) - spare - 1):
        fitted = fit({n: values[n] for n in ordered[start:]}, letter, spare=spare)
        if fitted.exact:
            return fitted
    if blocks:
        further = [*lengths_for(blocks), *lengths[-FAR_LENGTHS:]]
        for least in (1, 4 * max(blocks)):  # below, a pattern of blocks may not be complete
            found = lift_blocks(cost, [n for n in further if n >= least], blocks, letter)
            if found is not None:
                return found
    return fit(values, letter, spare=spare)


def fit(values: Mapping[int, int | Fraction], letter: str = "T", *, spare: int = 1) -> Curve:
    """Polynomial through all the values, if it leaves at least `spare` of them as confirmation; else samples.

    `valid_from` is the smallest length that was seen to agree; lengths below may differ and are not claimed.
    """
    ordered = sorted(values)
    points: dict[Powers, Fraction] = {(i,): Fraction(values[n]) for i, n in enumerate(ordered)}
    terms = interpolate(points, [ordered])
    most_terms = min(len(points) - spare, MAX_DEGREE + 1)
    if max((power for power, *_ in terms), default=0) < most_terms:
        return Curve((letter,), terms, valid_from=ordered[0])
    reason = f"no polynomial of degree {most_terms - 1} or less passes through {len(points)} lengths"
    return Curve.samples(values, reason, letter)


def interpolate(values: Mapping[Powers, Fraction], sizes: Sequence[Sequence[int]]) -> dict[Powers, Fraction]:
    """Terms of the polynomial through values at points of a grid, each point named by its index in every letter.

    With an index, all that are smaller in every letter must be there. Then exactly one polynomial with these powers
    passes through the values: Newton's divided differences, along one letter after the other, need smaller indices
    only, and so does the way from Newton's products back to powers.
    """
    table = {index: Fraction(value) for index, value in values.items()}
    for step in (_divide, _expand):
        for place, given in enumerate(sizes):
            lines: dict[Powers, list[Powers]] = {}
            for index in sorted(table):
                lines.setdefault((*index[:place], *index[place + 1 :]), []).append(index)
            for line in lines.values():
                found = [table[index] for index in line]
                step(found, given)
                table.update(zip(line, found, strict=True))
    return {powers: c for powers, c in table.items() if c}


def _divide(values: list[Fraction], nodes: Sequence[int]) -> None:
    """Values at nodes become coefficients of Newton's products, in place."""
    for level in range(1, len(values)):
        for i in range(len(values) - 1, level - 1, -1):
            values[i] = (values[i] - values[i - 1]) / (nodes[i] - nodes[i - level])


def _expand(newton: list[Fraction], nodes: Sequence[int]) -> None:
    """Coefficients of Newton's products become those of powers, in place."""
    for start in range(len(newton) - 2, -1, -1):
        for i in range(start, len(newton) - 1):
            newton[i] -= nodes[start] * newton[i + 1]


def lengths_for(blocks: Sequence[int]) -> list[int]:
    """Lengths that tell T, T² and the roundings apart: within, at and beyond whole blocks."""
    found = {1, 2, 3, 7, 17}
    for c in blocks:
        found |= {c - 1, c, c + 1, 2 * c + 1, 3 * c, 3 * c + 2, 5 * c - 1, 7 * c + 3}
    return sorted(n for n in found if n >= 1)


def lift_blocks(cost: Cost, lengths: Sequence[int], blocks: Iterable[int], letter: str = "T") -> Curve | None:
    """The smallest formula in T and roundings up to some of the blocks that passes through all the lengths.

    At least two lengths are spare, half as many as there are terms where those are many, and must agree; None where no
    such formula fits.
    """
    values = {n: Fraction(cost(n)) for n in lengths}
    candidates = sorted({c for c in blocks if c > 1 and any(n > c for n in lengths)})
    for count in range(1, min(MOST_BLOCKS, len(candidates)) + 1):
        for chosen in combinations(candidates, count):
            for basis in _bases(chosen):
                if len(values) < len(basis) + max(SPARE_POINTS, len(basis) // 2):
                    continue
                found = _solved([(_row(basis, n, chosen), value) for n, value in values.items()])
                if found is not None:
                    terms = {powers: c for powers, c in zip(basis, found, strict=True) if c}
                    return Curve((letter,), terms, chosen, valid_from=min(lengths))
    return None


def _bases(blocks: Sequence[int]) -> Iterator[list[Powers]]:
    count = len(blocks)
    zero = (0,) * count
    units = [tuple(int(i == j) for i in range(count)) for j in range(count)]
    linear: list[Powers] = [(0, *zero), (1, *zero), *((0, *unit) for unit in units)]
    # Of blocks of two the square follows from the others: whether T is odd is its own square.
    squares = [(0, *(2 * p for p in unit)) for unit, c in zip(units, blocks, strict=True) if c > 2]
    yield linear
    yield [*linear, (2, *zero)]
    yield [*linear, (2, *zero), *((1, *unit) for unit in units), *squares]


def _row(basis: Sequence[Powers], n: int, blocks: Sequence[int]) -> list[int]:
    rows = [n, *(-(-n // c) for c in blocks)]
    return [prod(map(pow, rows, powers)) for powers in basis]


def _solved(equations: Sequence[tuple[Sequence[int], Fraction]]) -> list[Fraction] | None:
    """The one exact solution of more equations than unknowns; None where there is none, or more than one."""
    if not _solvable(equations):
        return None
    rows = [[*map(Fraction, row), value] for row, value in equations]
    unknowns = len(rows[0]) - 1
    for column in range(unknowns):
        pivot = next((i for i in range(column, len(rows)) if rows[i][column]), None)
        if pivot is None:
            return None
        rows[column], rows[pivot] = rows[pivot], rows[column]
        head = rows[column][column]
        rows[column] = [x / head for x in rows[column]]
        for i, row in enumerate(rows):
            if i != column and row[column]:
                factor = row[column]
                rows[i] = [x - factor * y for x, y in zip(row, rows[column], strict=True)]
    if any(row[-1] for row in rows[unknowns:]):
        return None
    return [rows[i][-1] for i in range(unknowns)]


def _solvable(equations: Sequence[tuple[Sequence[int], Fraction]]) -> bool:
    """Whether there is one solution modulo a prime, which every exact one is but for a denominator that it divides."""
    rows = [
        [*(x % _PRIME for x in row), value.numerator * pow(value.denominator, -1, _PRIME) % _PRIME]
        for row, value in equations
    ]
    unknowns = len(rows[0]) - 1
    for column in range(unknowns):
        pivot = next((i for i in range(column, len(rows)) if rows[i][column]), None)
        if pivot is None:
            return False
        rows[column], rows[pivot] = rows[pivot], rows[column]
        inverse = pow(rows[column][column], -1, _PRIME)
        head = rows[column] = [x * inverse % _PRIME for x in rows[column]]
        for i in range(column + 1, len(rows)):
            if factor := rows[i][column]:
                rows[i] = [(x - factor * y) % _PRIME for x, y in zip(rows[i], head, strict=True)]
    return not any(row[-1] for row in rows[unknowns:])
