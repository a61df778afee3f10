"""The Bill: an immutable list of named lines, each line one line of the paper. The waist of the whole program.

A formula writes one, a trace writes one; prediction and reports read them and do not ask where one came from.
A Bill adds, scales ("× L layers"), groups by prefix, substitutes sizes, totals, ranks, and finds its leading term.
It never formats while it computes: see `rendering`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from seqcost.algebra import rendering
from seqcost.algebra.asymptotics import leading_term
from seqcost.algebra.evaluation import evaluated
from seqcost.algebra.expr import Size, check_size, is_symbolic, symbol
from seqcost.algebra.line import Kind, Line
from seqcost.errors import BadSize, UnknownName


@dataclass(frozen=True, init=False)
class Bill:
    """An immutable list of lines. Lines of one name and kind are summed, in the order of first appearance.

    >>> from seqcost import Workload, configure
    >>> bill = configure("lstm-layer", D=8).params()
    >>> bill.total()
    576
    >>> [(line.name, line.amount) for line in bill.lines]
    [('input', 256), ('hidden', 256), ('input_bias', 32), ('hidden_bias', 32)]
    """

    lines: tuple[Line, ...]

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        merged: dict[tuple[str, Kind], Line] = {}
        for line in lines:
            check_size(line.amount)
            key = (line.name, line.kind)
            seen = merged.get(key)
            merged[key] = line if seen is None else replace(seen, amount=seen.amount + line.amount)
        units = {line.kind.unit for line in merged.values()}
        assert len(units) <= 1, f"one bill, one unit; got {sorted(units)}"
        object.__setattr__(self, "lines", tuple(merged.values()))

    @classmethod
    def of(cls, kind: Kind, **amounts: Size | tuple[Size, str]) -> "Bill":
        """Write `Bill.of(Kind.STATE, keys=(2*B*T*G*K, "k of every past token"))`."""
        pairs = ((n, a if isinstance(a, tuple) else (a, "")) for n, a in amounts.items())
        return cls(Line(name, amount, kind, note) for name, (amount, note) in pairs)

    @property
    def unit(self) -> str:
        """Unit of every line, or "" of an empty bill."""
        return self.lines[0].kind.unit if self.lines else ""

    def __add__(self, other: "Bill") -> "Bill":
        return Bill((*self.lines, *other.lines))

    def __mul__(self, factor: Size) -> "Bill":
        check_size(factor)
        return self.map(lambda amount: amount * factor)

    __rmul__ = __mul__

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def map(self, function: Callable[[Size], Size]) -> "Bill":
        """The same lines with `function` applied to each amount."""
        return Bill(replace(line, amount=function(line.amount)) for line in self.lines)

    def under(self, prefix: str) -> "Bill":
        """Every line moved below a prefix: `scores` becomes `attention.scores`."""
        return Bill(replace(line, name=f"{prefix}.{line.name}") for line in self.lines)

    def group(self, depth: int = 1) -> "Bill":
        """Lines summed by the first `depth` parts of their names."""
        return Bill(replace(line, name=".".join(line.name.split(".")[:depth]), note="") for line in self.lines)

    def select(self, prefix: str) -> "Bill":
        """The lines named `prefix` or below it."""
        found = Bill(line for line in self.lines if line.name == prefix or line.name.startswith(prefix + "."))
        if not found:
            raise UnknownName.among("line", prefix, {line.name for line in self.lines})
        return found

    def only(self, *kinds: Kind) -> "Bill":
        """The lines of these kinds."""
        return Bill(line for line in self.lines if line.kind in kinds)

    def total(self, *kinds: Kind) -> Size:
        """Sum of all lines, or of those of the given kinds.

        Raises BadSize where no kind is given and both contractions and pointwise operations are there: conventions
        differ in the latter, so the two are not added unless both are named.
        """
        if not kinds and len(found := sorted({line.kind for line in self.lines})) > 1:
            raise BadSize(
                f"a total of {' and '.join(found)} lines was asked, which are not added; name one, such as "
                "total(Kind.CONTRACTION), or both."
            )
        return sum((line.amount for line in self.lines if not kinds or line.kind in kinds), start=0)

    def substitute(self, **sizes: int) -> "Bill":
        """Letters replaced by numbers; a line without letters left becomes an exact int (or Fraction)."""
        return self.map(lambda amount: _substitute(amount, sizes))

    def leading(self, letter: str, *kinds: Kind) -> Size:
        """Leading term of the total as `letter` grows: 4·B·D·T² of 24·B·D²·T + 4·B·D·T². Kinds as in `total`."""
        return leading_term(self.total(*kinds), letter)

    def ranked(self, **sizes: int) -> tuple[Line, ...]:
        """Lines by falling amount, at given sizes where the amounts are formulas."""
        bill = self.substitute(**sizes) if sizes else self
        return tuple(sorted(bill.lines, key=lambda line: line.amount, reverse=True))

    def to_dict(self) -> dict[str, Any]:
        """Unit, totals by kind, their `total` where there is one kind, and lines as plain data; formulas as strings."""
        return rendering.lines_to_dict(self.lines)

    def __str__(self) -> str:
        return rendering.lines_to_text(self.lines)

    def to_latex(self) -> str:
        """An `aligned` block: a line each, then the total."""
        return rendering.lines_to_latex(self.lines)

    def to_html(self) -> str:
        """A `<table>` with one row per line and the total as its foot."""
        return rendering.lines_to_html(self.lines)

    def _repr_html_(self) -> str:
        return self.to_html()

    def _repr_latex_(self) -> str:
        return f"$${self.to_latex()}$$"


def _substitute(amount: Size, sizes: Mapping[str, int]) -> Size:
    if not is_symbolic(amount):
        return amount
    if {letter.name for letter in amount.free_symbols} <= set(sizes):
        return evaluated(amount, sizes)
    return amount.subs({symbol(letter): number for letter, number in sizes.items()})
