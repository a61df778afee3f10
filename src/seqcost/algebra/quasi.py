"""Costs that round up to whole blocks: polynomials in T and in ⌈T/c⌉, exact, with spare points.

A layer that works in chunks of c tokens fills the last one up, so its cost is no polynomial in T but one in T and in
the number of chunks. The blocks that may be meant are given; which of them explain the cost is found out, smallest
explanation first.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from seqcost.algebra.lift import SPARE_POINTS, Polynomial, Samples

MOST_BLOCKS = 2  # different ones in one formula
_PRIME = 2**61 - 1  # what has no solution modulo a prime has no exact one either, and is found out far sooner
Monomial = tuple[int, ...]  # power of T, then of ⌈T/c⌉ for each block c


@dataclass(frozen=True)
class QuasiPolynomial:
    """Σ coefficient · T^i · ⌈T/c⌉^j …, exact for every whole T from `valid_from` on."""

    variable: str
    blocks: tuple[int, ...]
    terms: tuple[tuple[Monomial, Fraction], ...]
    valid_from: int = 1
    exact: bool = True

    def __call__(self, value: int) -> Fraction:
        """Value at a size."""
        return sum(
            (c * x for (_, c), x in zip(self.terms, _row(self.basis, value, self.blocks), strict=True)), Fraction(0)
        )

    @property
    def basis(self) -> tuple[Monomial, ...]:
        """The powers that occur."""
        return tuple(monomial for monomial, _ in self.terms)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: each term with its coefficient as an exact string, its power of T, its powers of ⌈T/block⌉."""
        return {
            "variable": self.variable,
            "blocks": list(self.blocks),
            "terms": [{"coefficient": str(c), "power": m[0], "block_powers": list(m[1:])} for m, c in self.terms],
            "valid_from": self.valid_from,
            "exact": self.exact,
        }

    def __str__(self) -> str:
        signs = {1: "", 2: "²", 3: "³"}
        names = [self.variable, *(f"⌈{self.variable}/{c}⌉" for c in self.blocks)]
        parts = []
        for monomial, c in sorted(self.terms, key=lambda term: (-sum(term[0]), [-p for p in term[0]])):
            factors = [f"{name}{signs[power]}" for name, power in zip(names, monomial, strict=True) if power]
            number = [] if factors and c == 1 else [str(c)]
            parts.append("·".join(number + factors))
        return " + ".join(parts).replace("+ -", "- ") or "0"


Curve = Polynomial | QuasiPolynomial | Samples  # a cost as a function of T


def lengths_for(blocks: Sequence[int]) -> list[int]:
    """Lengths that tell T, T² and the roundings apart: within, at and beyond whole blocks."""
    found = {1, 2, 3, 7, 17}
    for c in blocks:
        found |= {c - 1, c, c + 1, 2 * c + 1, 3 * c, 3 * c + 2, 5 * c - 1, 7 * c + 3}
    return sorted(n for n in found if n >= 1)


def lift_blocks(
    cost: Callable[[int], int | Fraction], lengths: Sequence[int], blocks: Iterable[int], variable: str = "T"
) -> QuasiPolynomial | None:
    """The smallest formula in T and roundings up to some of the blocks that passes through all the lengths.

    At least two lengths are spare, half as many as there are terms where those are many, and must agree; None where no
    such formula fits.
    """
    values = {n: Fraction(cost(n)) for n in lengths}
    candidates = sorted({c for c in blocks if c > 1 and any(n > c for n in lengths)})
    for count in range(1, min(MOST_BLOCKS, len(candidates)) + 1):
        for chosen in itertools.combinations(candidates, count):
            for basis in _bases(chosen):
                if len(values) < len(basis) + max(SPARE_POINTS, len(basis) // 2):
                    continue
                found = _solved([(_row(basis, n, chosen), value) for n, value in values.items()])
                if found is not None:
                    terms = tuple((m, c) for m, c in zip(basis, found, strict=True) if c)
                    return QuasiPolynomial(variable, chosen, terms, min(lengths))
    return None


def _bases(blocks: Sequence[int]) -> Iterator[list[Monomial]]:
    count = len(blocks)
    zero = (0,) * count
    units = [tuple(int(i == j) for i in range(count)) for j in range(count)]
    linear: list[Monomial] = [(0, *zero), (1, *zero), *((0, *unit) for unit in units)]
    # Of blocks of two the square follows from the others: whether T is odd is its own square.
    squares = [(0, *(2 * p for p in unit)) for unit, c in zip(units, blocks, strict=True) if c > 2]
    yield linear
    yield [*linear, (2, *zero)]
    yield [*linear, (2, *zero), *((1, *unit) for unit in units), *squares]


def _row(basis: Sequence[Monomial], n: int, blocks: Sequence[int]) -> list[int]:
    letters = [n, *(-(-n // c) for c in blocks)]
    row = []
    for monomial in basis:
        product = 1
        for letter, power in zip(letters, monomial, strict=True):
            product *= letter**power
        row.append(product)
    return row


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
