"""The curve: a cost as a function of sizes. A polynomial in letters and in ⌈T/c⌉, or what was seen and why it is none.

4·L·D·T² + 24·L·D²·T in several letters, 3·T² + 5·⌈T/64⌉ in one that is rounded up to whole blocks. A curve knows from
which length on it holds, is exact for every whole size from there, and prints itself: as text, as LaTeX, as SymPy, and
as a tree of plain lists that any language can read. How it is found: see `lift` and `multilift`.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm, prod
from typing import TYPE_CHECKING, Any

from seqcost.algebra.expr import is_array
from seqcost.errors import BadSize, shortened

if TYPE_CHECKING:
    import numpy as np

Powers = tuple[int, ...]  # of each letter, then of ⌈T/c⌉ for each block c, where T is the last letter

_BLOCK = re.compile(r"/(\d+)⌉")
_SIGNS = {2: "²", 3: "³", 4: "⁴"}
_LARGEST_INT64 = 2**63 - 1


@dataclass(frozen=True)
class Curve:
    """Σ coefficient · L^i · D^j · T^k · ⌈T/c⌉^l …; or, where `reason` says that there is no formula, what was seen.

    `letters` are in the order in which a term is written; the last one is the length, which may be rounded up to whole
    `blocks`. `terms` has no coefficient that is 0. A curve in one letter holds from `valid_from` on, one in several was
    seen to hold in `ranges`. `values` are what was seen at lengths; in `refusing` letters it is no polynomial.
    """

    letters: tuple[str, ...]
    terms: Mapping[Powers, Fraction] = field(default_factory=dict)
    blocks: tuple[int, ...] = ()
    valid_from: int = 1
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    values: Mapping[int, Fraction] = field(default_factory=dict)
    refusing: tuple[str, ...] = ()
    reason: str = ""

    @classmethod
    def polynomial(cls, coefficients: Iterable[Fraction | int], letter: str = "T", *, valid_from: int = 1) -> "Curve":
        """In one letter, from its coefficients, ascending."""
        terms: dict[Powers, Fraction] = {(power,): Fraction(c) for power, c in enumerate(coefficients) if c}
        return cls((letter,), terms, valid_from=valid_from)

    @classmethod
    def samples(cls, values: Mapping[int, Fraction | int], reason: str, letter: str = "T") -> "Curve":
        """What was seen where no formula fits."""
        return cls((letter,), values={n: Fraction(v) for n, v in values.items()}, reason=reason)

    @property
    def exact(self) -> bool:
        """Whether it is a formula."""
        return not self.reason

    @property
    def is_polynomial(self) -> bool:
        """Whether it is a formula without rounding up."""
        return self.exact and not self.blocks

    @property
    def factors(self) -> tuple[str, ...]:
        """What the powers are of, as text: the letters, then ⌈T/c⌉."""
        return (*self.letters, *(f"⌈{self.letters[-1]}/{c}⌉" for c in self.blocks))

    def degree_in(self, letter: str) -> int:
        """Highest power of a letter; a rounding up of it is one as well."""
        places = [self.letters.index(letter)]
        if letter == self.letters[-1]:
            places += range(len(self.letters), len(self.factors))
        return max((sum(powers[place] for place in places) for powers in self.terms), default=0)

    @property
    def degree(self) -> int:
        """Highest power of the length."""
        return self.degree_in(self.letters[-1])

    @property
    def coefficients(self) -> tuple[Fraction, ...]:
        """Of a polynomial in one letter, ascending.

        Raises BadSize for a curve that has no such list.
        """
        if not self.is_polynomial or len(self.letters) != 1:
            raise BadSize(f"coefficients of {self} were asked; only a polynomial in one letter has a list of them.")
        return tuple(self.terms.get((power,), Fraction(0)) for power in range(self.degree + 1))

    def __call__(self, length: Any = None, /, **sizes: Any) -> Any:
        """Value at a length, or at one size of each letter: exact.

        Of a sweep (an array of whole sizes) an array: int64 where every value is a whole number that fits, float64
        otherwise.

        Raises BadSize where there is no formula, and for letters that it does not have or that are missing.
        """
        if length is not None:
            sizes = {**sizes, self.letters[-1]: length}
        if set(sizes) != set(self.letters):
            raise BadSize(f"sizes of {', '.join(sizes)} were given; give one of each of {', '.join(self.letters)}.")
        if not self.exact:
            raise BadSize(f"a value was asked of a cost without a formula ({self.reason}); read its samples.")
        at = [sizes[letter] for letter in self.letters]
        if any(map(is_array, at)):
            return self._swept(at)
        return sum((c * prod(map(pow, self._rows(at), powers)) for powers, c in self.terms.items()), Fraction(0))

    def _rows(self, at: Sequence[Any]) -> list[Any]:
        return [*at, *(-(-at[-1] // c) for c in self.blocks)]

    def _swept(self, at: Sequence[Any]) -> "np.ndarray[Any, Any]":
        import numpy as np

        whole = [_whole_sizes(size) for size in at]
        # One denominator for all, so that the sum is of Python's ints, which do not wrap.
        common = lcm(*(c.denominator for c in self.terms.values()))
        rows = self._rows(whole)
        total: Any = np.zeros(np.broadcast(*whole).shape, dtype=object)
        for powers, c in self.terms.items():
            product: Any = int(c * common)
            for row, power in zip(rows, powers, strict=True):
                product = product * row**power
            total = total + product
        fits = all(n % common == 0 and abs(n) // common <= _LARGEST_INT64 for n in total.flat)
        if fits:
            return np.asarray(total // common, dtype=np.int64)
        return np.asarray([_float(n, common) for n in total.flat], dtype=np.float64).reshape(total.shape)

    def __sub__(self, other: "Curve") -> "Curve":
        """The difference of two formulas in the same letters; it holds where both do."""
        assert self.exact, self.reason
        assert other.exact, other.reason
        assert self.letters == other.letters, f"{self.letters} and {other.letters}"
        blocks = tuple(sorted({*self.blocks, *other.blocks}))
        terms: dict[Powers, Fraction] = {}
        for curve, sign in ((self, 1), (other, -1)):
            for powers, c in curve.terms.items():
                own = dict(zip(curve.blocks, powers[len(self.letters) :], strict=True))
                key = (*powers[: len(self.letters)], *(own.get(block, 0) for block in blocks))
                terms[key] = terms.get(key, Fraction(0)) + sign * c
        kept = {powers: c for powers, c in terms.items() if c}
        return Curve(self.letters, kept, blocks, valid_from=max(self.valid_from, other.valid_from))

    def written(self) -> list[tuple[Fraction, list[tuple[str, int]]]]:
        """Coefficient and (factor, power) of each term, in the order in which they are read.

        What grows fastest with the length comes first, then the terms of most factors.
        """
        ordered = sorted(self.terms.items(), key=lambda term: self._rank(term[0]), reverse=True)
        return [(c, [(f, p) for f, p in zip(self.factors, powers, strict=True) if p]) for powers, c in ordered]

    def _rank(self, powers: Powers) -> tuple[int, int, Powers]:
        return sum(powers[len(self.letters) - 1 :]), sum(powers), powers

    def __str__(self) -> str:
        if not self.exact:
            return self.reason
        texts = []
        for c, factors in self.written():
            names = [name + ("" if p == 1 else _SIGNS.get(p, f"^{p}")) for name, p in factors]
            number = [] if names and abs(c) == 1 else [str(abs(c))]
            texts.append(("-" if c < 0 else "") + "·".join([*number, *names]))
        return " + ".join(texts).replace("+ -", "- ") or "0"

    def to_latex(self) -> str:
        r"""`36864\,T^{2} + 12\,\lceil T/64 \rceil`; where there is no formula, the reason as text."""
        if not self.exact:
            return rf"\text{{{self.reason}}}"
        texts = []
        for c, factors in self.written():
            names = [_latex_of(name) + ("" if p == 1 else f"^{{{p}}}") for name, p in factors]
            number = [] if names and abs(c) == 1 else [_number_to_latex(abs(c))]
            texts.append(("-" if c < 0 else "") + r"\,".join([*number, *names]))
        return " + ".join(texts).replace("+ -", "- ") or "0"

    def _repr_latex_(self) -> str:
        return f"$${self.to_latex()}$$"

    def to_tree(self) -> list[Any]:
        """A sum of products as nested lists, `["+", ["*", 12, ["^", "T", 2]], ["*", 5, ["ceil", ["/", "T", 64]]]]`.

        Numbers are whole, a fraction is `["/", 1, 3]`. Raises BadSize where there is no formula.
        """
        if not self.exact:
            raise BadSize(f"the tree of a cost without a formula was asked ({self.reason}); read its samples.")
        trees = [*self.letters, *(["ceil", ["/", self.letters[-1], c]] for c in self.blocks)]
        names: dict[str, Any] = dict(zip(self.factors, trees, strict=True))
        products = []
        for c, factors in self.written():
            number = c.numerator if c.denominator == 1 else ["/", c.numerator, c.denominator]
            powers = [names[name] if p == 1 else ["^", names[name], p] for name, p in factors]
            products.append(["*", number, *powers])
        return ["+", *products]

    def to_sympy(self) -> Any:
        """The formula with the symbols that formulas use."""
        import sympy

        from seqcost.algebra.expr import ceil_div, symbol

        rows = [symbol(letter) for letter in self.letters]
        rows += [ceil_div(rows[-1], c) for c in self.blocks]
        terms = [
            sympy.Rational(c.numerator, c.denominator) * sympy.Mul(*map(sympy.Pow, rows, powers))
            for powers, c in self.terms.items()
        ]
        return sympy.Add(*terms)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, numbers as exact strings.

        A polynomial in one letter has ascending `coefficients`; one with blocks and one in several letters have
        `terms`; what is no formula has `samples` or `not_polynomial_in`, with the `reason`.
        """
        if not self.exact:
            if self.refusing:
                head: dict[str, Any] = {"letters": list(self.letters), "not_polynomial_in": list(self.refusing)}
            else:
                seen = {str(n): str(v) for n, v in sorted(self.values.items())}
                head = {"variable": self.letters[0], "samples": seen}
            return head | {"exact": False, "reason": self.reason}
        if self.ranges or len(self.letters) > 1:
            return {
                "letters": list(self.letters),
                "formula": str(self),
                "terms": [{"coefficient": str(c), "powers": dict(factors)} for c, factors in self.written()],
                "ranges": {letter: list(seen) for letter, seen in self.ranges.items()},
                "exact": True,
            }
        if not self.blocks:
            body: dict[str, Any] = {"coefficients": [str(c) for c in self.coefficients]}
        else:
            terms = [
                {"coefficient": str(c), "power": powers[0], "block_powers": list(powers[1:])}
                for powers, c in self.terms.items()
            ]
            body = {"blocks": list(self.blocks), "terms": terms}
        return {"variable": self.letters[0], **body, "valid_from": self.valid_from, "exact": True}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Curve":
        """The curve that `to_dict` wrote."""
        letters = tuple(plain.get("letters") or [plain["variable"]])
        if not plain["exact"]:
            values = {int(n): Fraction(v) for n, v in plain.get("samples", {}).items()}
            return cls(
                letters, values=values, refusing=tuple(plain.get("not_polynomial_in", ())), reason=plain["reason"]
            )
        if "coefficients" in plain:
            return cls.polynomial(map(Fraction, plain["coefficients"]), letters[0], valid_from=plain["valid_from"])
        if "ranges" in plain:
            powers = [term["powers"] for term in plain["terms"]]
            blocks = sorted({int(c) for factors in powers for name in factors for c in _BLOCK.findall(name)})
            factors = cls(letters, blocks=tuple(blocks)).factors
            terms = {
                tuple(term["powers"].get(factor, 0) for factor in factors): Fraction(term["coefficient"])
                for term in plain["terms"]
            }
            ranges = {letter: (a, b) for letter, (a, b) in plain["ranges"].items()}
            return cls(letters, terms, tuple(blocks), ranges=ranges)
        terms = {(t["power"], *t["block_powers"]): Fraction(t["coefficient"]) for t in plain["terms"]}
        return cls(letters, terms, tuple(plain["blocks"]), valid_from=plain["valid_from"])


def _number_to_latex(number: Fraction) -> str:
    n, d = number.numerator, number.denominator
    return str(n) if d == 1 else rf"\frac{{{n}}}{{{d}}}"


def _latex_of(factor: str) -> str:
    return factor.replace("⌈", r"\lceil ").replace("⌉", r" \rceil")


def _whole_sizes(size: Any) -> Any:
    """An array of Python's ints, whatever numbers it held."""
    import numpy as np

    given = np.asarray(size)
    if any(n != int(n) for n in given.flat):
        raise BadSize(f"{shortened(size)} was given as sizes; whole numbers are allowed: sweep([64, 128]).")
    out = np.empty(given.shape, dtype=object)
    out[...] = np.frompyfunc(int, 1, 1)(given)
    return out


def _float(numerator: int, denominator: int) -> float:
    try:
        return numerator / denominator
    except OverflowError:
        return float("inf") if numerator > 0 else float("-inf")
