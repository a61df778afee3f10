"""What did this change cost? Two counts side by side: every quantity, every line that differs, both polynomials.

Both sides are answered in one way. Where one of them has no formula both are traced, since the lines of a formula and
those of a trace bear different names.
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from seqcost.algebra import Kind
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.algebra.rendering import plain
from seqcost.errors import BadSize, BadTarget
from seqcost.formulas.core.foreign_names import FRIENDLY
from seqcost.questions.answers.count import Count
from seqcost.questions.asked.arguments import flag, sizes_in
from seqcost.questions.asked.lengths import names_several
from seqcost.questions.count import count
from seqcost.questions.targets.kinds import formula_of, kind_of

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

    def __str__(self) -> str:
        from seqcost.report.diffs import notes, tables
        from seqcost.report.table import as_text

        answer = self.to_dict()
        return as_text(tables(answer), after=[f"not counted — {note}" for note in notes(answer)])

    def _repr_html_(self) -> str:
        from seqcost.report.notebook import diff_html

        return diff_html(self.to_dict())


def diff(
    a: Any,
    b: Any,
    *,
    length: int | str | None = None,
    batch: int | str | None = None,
    source: int | str | None = None,
    phase: str = "forward",
    dtype: Any = None,
    causal: str = "full",
    sizes: Mapping[str, Any] | None = None,
    sizes_a: Mapping[str, Any] | None = None,
    sizes_b: Mapping[str, Any] | None = None,
    inputs: Any = None,
    inputs_a: Any = None,
    inputs_b: Any = None,
    trace: bool = False,
) -> Diff:
    """What B costs beside A, by quantity and by line.

    Parameters
    ----------
    a, b
        Each what `count` takes as its target.
    length, batch, source, phase, dtype, causal, trace
        Of both sides, as in `count`; one length. Where not given, a side whose inputs came with it gives length and
        batch to the other; a source goes to the side that reads one.
    sizes, sizes_a, sizes_b
        Letters or friendly words to override: in both sides, in A, in B. A side's own go before those of both.
    inputs, inputs_a, inputs_b
        Example inputs of the live modules among them: of both, of A, of B.

    Raises
    ------
    SeqcostError
        As `count` does for either side; BadSize for several lengths, and where both have inputs of their own of
        different lengths or batches.

    Examples
    --------
    >>> change = diff("gpt2", "gpt2-medium", length="1k")
    >>> change.quantities[0].name, change.quantities[0].difference
    ('flops', Fraction(535302766592, 1))

    """
    if names_several(length) or not isinstance(length, int | str | None):
        raise BadSize(f"length = {length!r} was given; a difference is taken at one whole number of at least 1.")
    common, trace = sizes_in(sizes), flag(trace, "trace")
    own = [_overridden(common, sizes_in(sizes_a, "sizes_a")), _overridden(common, sizes_in(sizes_b, "sizes_b"))]
    targets = (a, b)
    configs = [
        formula_of(target, letters) if isinstance(target, str) else None
        for target, letters in zip(targets, own, strict=True)
    ]
    formulas = [config is not None for config in configs]
    reads = [config is None or config.takes_source for config in configs]
    weights = [isinstance(target, str) and kind_of(target) == "weights" for target in targets]
    live = [not isinstance(target, str) for target in targets]
    given = [inputs_a, inputs_b]
    named = [
        name
        for name, own_inputs, alive in zip(targets, given, live, strict=True)
        if own_inputs is not None and not alive
    ]
    if named or (inputs is not None and not any(live)):
        raise BadTarget(f"inputs were given for {(named or targets)[0]!r}; only a live module takes them.")

    def side(i: int, length: int | str | None, batch: int | str | None) -> Count:
        found: Count = count(
            targets[i],
            length=length,
            batch=batch,
            source=source if reads[i] or not any(reads) else None,
            phase=phase,
            dtype=dtype,
            causal=causal,
            sizes=own[i],
            inputs=given[i] if given[i] is not None else inputs if live[i] else None,
            trace=not weights[i] and (trace or not all(formulas)),
        )
        return found

    return Diff(*_at_one_size(side, length, batch))


def _at_one_size(
    side: Callable[[int, int | str | None, int | str | None], Count], length: int | str | None, batch: int | str | None
) -> tuple[Count, Count]:
    """Both sides; where one has inputs of its own, and nothing else was asked, the other at its sizes."""
    a, b = side(0, length, batch), side(1, length, batch)
    if _size(a) == _size(b):
        return a, b
    try:
        return side(0, *_size(b)), b
    except BadSize:
        pass
    try:
        return a, side(1, *_size(a))
    except BadSize:
        (a_T, a_B), (b_T, b_B) = _size(a), _size(b)
        raise BadSize(
            f"{a.target} came with inputs of B = {a_B:,}, T = {a_T:,}, {b.target} with B = {b_B:,}, T = {b_T:,}; a "
            "difference is taken at one size: give both the same."
        ) from None


def _names() -> tuple[str, ...]:
    return QUANTITIES.names(Told.COUNT)


def _size(count: Count) -> tuple[int, int]:
    return count.sizes["T"], count.sizes["B"]


def _overridden(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of one side; `D` of its own replaces `width` of both."""
    letters = {FRIENDLY.get(word, word) for word in own}
    return {word: value for word, value in common.items() if FRIENDLY.get(word, word) not in letters} | dict(own)


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
