"""The answer to "what did this change cost?": two counts, and what lies between them."""

from collections.abc import Container
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from seqcost.algebra import Kind
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.algebra.rendering import plain
from seqcost.questions.answers.count import Count

_ABOUT = ("target", "sizes", "phase", "dtype", "rung", "conventions", "uncounted")


@dataclass(frozen=True)
class Difference:
    """One number on both sides; None where a side cannot tell, and then there is no difference either."""

    name: str
    a: Fraction | None
    b: Fraction | None

    @property
    def difference(self) -> Fraction | None:
        """What B costs more than A; negative where it costs less."""
        return None if self.a is None or self.b is None else self.b - self.a

    @property
    def ratio(self) -> float | None:
        """B over A; None where A is 0, where a side is unknown, or beyond all floats."""
        if self.b is None or not self.a:
            return None
        try:
            return float(self.b / self.a)
        except OverflowError:
            return None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "a": _plain(self.a),
            "b": _plain(self.b),
            "difference": _plain(self.difference),
            "ratio": self.ratio,
        }


@dataclass(frozen=True)
class LineDifference(Difference):
    """A line of a bill that is not the same on both sides; `kind` as in the lines of a count.

    Lines of one name and kind are taken together. The side that lacks a line has None, the difference counts it as 0.
    """

    kind: str

    @property
    def change(self) -> str:
        """`appears` (only in B), `vanishes` (only in A) or `changes`."""
        return "appears" if self.a is None else "vanishes" if self.b is None else "changes"

    @property
    def difference(self) -> Fraction:
        """What B's line has more than A's."""
        return (self.b or Fraction(0)) - (self.a or Fraction(0))


@dataclass(frozen=True)
class Diff:
    """Two counts and what lies between them."""

    a: Count
    b: Count

    @property
    def quantities(self) -> tuple[Difference, ...]:
        """Every quantity of a count."""
        left, right = self.a.to_dict(), self.b.to_dict()
        return tuple(Difference(name, _exact(left[name]), _exact(right[name])) for name in _names())

    @property
    def lines(self) -> tuple[LineDifference, ...]:
        """Lines that appear, vanish or change; kinds in the order of a count, in each the largest change first."""
        left, right = self._amounts()
        kinds = [kind for row in QUANTITIES.lined() for kind in row.kinds]
        found = [
            LineDifference(name, left.get((kind, name)), right.get((kind, name)), kind)
            for kind, name in dict.fromkeys((*left, *right))
        ]
        changed = [line for line in found if line.a != line.b]
        return tuple(sorted(changed, key=lambda line: (kinds.index(Kind(line.kind)), -abs(line.difference), line.name)))

    @property
    def unchanged(self) -> int:
        """How many lines are the same on both sides."""
        left, right = self._amounts()
        return sum(right.get(key) == amount for key, amount in left.items())

    def _amounts(self) -> tuple[dict[tuple[str, str], Fraction], dict[tuple[str, str], Fraction]]:
        # Lines of a bill that one side cannot give are not compared.
        known = {
            kind
            for row in QUANTITIES.lined()
            for kind in row.kinds
            if all(side.bills.named.get(row.bill) is not None for side in (self.a, self.b))
        }
        return _amounts(self.a, known), _amounts(self.b, known)

    @property
    def polynomials(self) -> dict[str, dict[str, Any]]:
        """By quantity, both sides' functions of T and, where both are formulas, their difference; plain data."""
        out = {}
        for name in _names():
            a, b = self.a.polynomials.get(name), self.b.polynomials.get(name)
            if a is None and b is None:
                continue
            between = b - a if a is not None and b is not None and a.exact and b.exact else None
            curves = {"a": a, "b": b, "difference": between}
            out[name] = {side: None if curve is None else curve.to_dict() for side, curve in curves.items()}
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain data: `a` and `b` (what was counted and what was not), quantities, lines, unchanged, polynomials."""
        return {
            **{side: {key: found.to_dict()[key] for key in _ABOUT} for side, found in (("a", self.a), ("b", self.b))},
            "quantities": [{"quantity": found.name, **found.to_dict()} for found in self.quantities],
            "lines": [
                {"name": line.name, "kind": line.kind, "change": line.change, **line.to_dict()} for line in self.lines
            ],
            "unchanged": self.unchanged,
            "polynomials": self.polynomials,
        }

    def to_csv(self) -> str:
        """One row per quantity, and one per line that differs."""
        from seqcost.report.diffs import flat_rows
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(flat_rows(self.to_dict()))

    def __str__(self) -> str:
        from seqcost.report.diffs import notes, tables
        from seqcost.report.table import as_text

        answer = self.to_dict()
        return as_text(tables(answer), after=[f"not counted — {note}" for note in notes(answer)])

    def _repr_html_(self) -> str:
        from seqcost.report.notebook import diff_html

        return diff_html(self.to_dict())


def _names() -> tuple[str, ...]:
    return QUANTITIES.names(Told.COUNT)


def _amounts(found: Count, kinds: Container[str]) -> dict[tuple[str, str], Fraction]:
    """Amount by kind and name; lines of one name together."""
    out: dict[tuple[str, str], Fraction] = {}
    for line in found.lines:
        if line["kind"] not in kinds:
            continue
        key = (str(line["kind"]), str(line["name"]))
        out[key] = out.get(key, Fraction(0)) + Fraction(line["amount"])
    return out


def _exact(value: Any) -> Fraction | None:
    return None if value is None else Fraction(value)


def _plain(value: Fraction | None) -> Any:
    return None if value is None else plain(value)
