"""An exact polynomial in several letters: 4·L·D·T² + 24·L·D²·T + 2·D·U·T."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from seqcost.errors import BadSize

_POWERS = {2: "²", 3: "³", 4: "⁴"}


@dataclass(frozen=True)
class Multinomial:
    """Terms by the powers of the letters, in the order of `letters`; no term is 0.

    The order of the letters is that in which they are written within a term. `ranges` has, for each letter, the
    smallest and the largest size at which the polynomial was seen to hold.
    """

    letters: tuple[str, ...]
    terms: Mapping[tuple[int, ...], Fraction]
    ranges: Mapping[str, tuple[int, int]]

    def __call__(self, **sizes: int) -> Fraction:
        """Value at one size for each letter; a letter that is not in it is refused, one that is missing too."""
        if set(sizes) != set(self.letters):
            raise BadSize(f"sizes of {', '.join(sizes)} were given; give one of each of {', '.join(self.letters)}.")
        at = [sizes[letter] for letter in self.letters]
        return sum((c * _product(at, powers) for powers, c in self.terms.items()), start=Fraction(0))

    def degree(self, letter: str) -> int:
        """Highest power of a letter."""
        place = self.letters.index(letter)
        return max((powers[place] for powers in self.terms), default=0)

    def to_sympy(self) -> Any:
        """The polynomial with the symbols that formulas use."""
        import sympy

        from seqcost.algebra.expr import symbol

        letters = [symbol(letter) for letter in self.letters]
        terms = [
            sympy.Rational(c.numerator, c.denominator)
            * sympy.Mul(*(x**p for x, p in zip(letters, powers, strict=True)))
            for powers, c in self.terms.items()
        ]
        return sympy.Add(*terms)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; coefficients as exact strings, terms in the order in which they are written."""
        return {
            "letters": list(self.letters),
            "formula": str(self),
            "terms": [
                {
                    "coefficient": str(self.terms[powers]),
                    "powers": {letter: p for letter, p in zip(self.letters, powers, strict=True) if p},
                }
                for powers in self._written()
            ],
            "ranges": {letter: list(seen) for letter, seen in self.ranges.items()},
            "exact": True,
        }

    def _written(self) -> list[tuple[int, ...]]:
        # The last letter is the one that grows: its highest power comes first, then the terms of most letters.
        return sorted(self.terms, key=lambda powers: (powers[-1:], sum(powers), powers), reverse=True)

    def __str__(self) -> str:
        texts = []
        for powers in self._written():
            c = self.terms[powers]
            letters = [
                letter + ("" if p == 1 else _POWERS.get(p, f"^{p}"))
                for letter, p in zip(self.letters, powers, strict=True)
                if p
            ]
            sign = "-" if c == -1 else ""
            texts.append(sign + "·".join(letters) if letters and abs(c) == 1 else "·".join([str(c), *letters]))
        return " + ".join(texts).replace("+ -", "- ") or "0"


@dataclass(frozen=True)
class Unfitted:
    """A cost that is no polynomial in some of its letters: which, and why. Never a formula."""

    letters: tuple[str, ...]
    failed: tuple[str, ...]
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data, marked as not exact."""
        return {
            "letters": list(self.letters),
            "not_polynomial_in": list(self.failed),
            "exact": False,
            "reason": self.reason,
        }


def _product(at: list[int], powers: tuple[int, ...]) -> int:
    out = 1
    for size, power in zip(at, powers, strict=True):
        out *= size**power
    return out
