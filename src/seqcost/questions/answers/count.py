"""The answer to "what does it cost?": Bills of one target at one length, in one phase.

JSON contract of `Count.to_dict()`, stable: keys target, sizes, phase, dtype, conventions, rung, every quantity that the
table of quantities tells of a count, lines, uncounted, polynomials, seen_to, memory, optimizer, accumulate; timeline
where it is asked for; weights of a file of weights; unused of a trace.
The command adds letters, view and explanation where they are. What a source cannot give is None and listed under
`uncounted` with the reason, never 0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from seqcost.algebra import Bill, Curve, Line, Size
from seqcost.algebra.quantity import QUANTITIES, Quantity, Told
from seqcost.algebra.rendering import formula_to_latex, plain
from seqcost.algebra.work import Row
from seqcost.errors import UnknownName
from seqcost.questions.answers.derivation import Derivation, Origin, derive
from seqcost.questions.answers.views import View, view

Missing = tuple[Mapping[str, Any], ...]  # what an answer leaves out, each with the reason


@dataclass(frozen=True, init=False)
class Bills:
    """The Bills of one phase by the names that the table of quantities gives them; None where the source cannot tell.

    `bills.moved` is the Bill of that name.
    """

    named: Mapping[str, Bill | None]

    def __init__(self, **named: Bill | None) -> None:
        unknown = set(named) - set(QUANTITIES.bills())
        assert not unknown, f"no quantity reads a bill named {unknown}"
        object.__setattr__(self, "named", named)

    def __getattr__(self, name: str) -> Any:
        if name in QUANTITIES.bills():
            return self.named.get(name)
        raise AttributeError(f"there is no bill named {name!r}; choose {', '.join(QUANTITIES.bills())}")

    def lines(self, quantity: Quantity) -> Iterator[Line]:
        """The lines that add up to a quantity; none where it has no Bill."""
        bill = self.named.get(quantity.bill)
        return (line for line in bill or () if line.kind in quantity.kinds)

    def total(self, quantity: Quantity) -> Size | None:
        """Their sum; None where the source cannot tell."""
        bill = self.named.get(quantity.bill)
        return None if bill is None else bill.total(*quantity.kinds)


def conventions() -> dict[str, str]:
    """What is declared beside every count."""
    return {
        "flop": "one multiply or one add; a multiply-add is two",
        "causal": "full: the whole rectangle of scores is counted",
        "lookup": "0 FLOPs; bytes count",
        "head": "counted, tied or not",
        **{row.name: row.convention for row in QUANTITIES.told(Told.COUNT) if row.convention},
    }


@dataclass(frozen=True)
class Count:
    """The cost of one target at one length."""

    target: str
    sizes: Mapping[str, Any]
    phase: str
    dtype: str
    rung: str
    bills: Bills
    numbers: Mapping[str, Any]  # quantities that no Bill has: trainable_params, peak_bytes
    uncounted: tuple[Mapping[str, Any], ...]
    polynomials: Mapping[str, Curve]
    conventions: Mapping[str, str]
    memory: Mapping[str, Any] | None = None  # the peak by category and, for saved activations, by module
    timeline: Mapping[str, Any] | None = None  # live bytes at every operator, and their categories
    optimizer: str | None = None
    accumulate: int = 1
    seen_to: int | None = None  # the longest length that a trace ran; None of formulas, which hold at every length
    weights: Mapping[str, Any] | None = None  # of a file of weights: its tensors and bytes, by data type
    unused: tuple[Mapping[str, Any], ...] | None = None  # parameters that no operator met: path, params, share
    origin: Origin | None = field(default=None, repr=False, compare=False)  # what it can tell of its making

    @property
    def rows(self) -> tuple[Row, ...]:
        """Rows of work: groups of equal kernel launches, by direction and place; none of weights alone."""
        return () if self.origin is None else self.origin.rows

    def amount(self, quantity: str) -> Any:
        """The number of a quantity, exact; None where the source cannot tell.

        Raises UnknownName for what is no quantity of a count.
        """
        if quantity not in QUANTITIES.names(Told.COUNT):
            raise UnknownName.among("quantity", str(quantity), QUANTITIES.names(Told.COUNT))
        row = QUANTITIES[quantity]
        return plain(self.bills.total(row) if row.bill else self.numbers.get(quantity))

    @property
    def flops(self) -> int | None:
        """FLOPs of contractions; None of weights alone."""
        found: int | None = self.amount("flops")
        return found

    @property
    def pointwise(self) -> int | None:
        """Pointwise operations; None of weights alone."""
        found: int | None = self.amount("pointwise")
        return found

    @property
    def params(self) -> int:
        """Scalars of all parameters, trained or frozen."""
        return int(self.amount("params"))

    @property
    def trainable_params(self) -> int | None:
        """Scalars of the parameters that a training step trains; None where the source does not say."""
        found: int | None = self.amount("trainable_params")
        return found

    @property
    def bytes_moved(self) -> Any:
        """Bytes read and written by all operators; None where the source cannot tell."""
        return self.amount("bytes_moved")

    @property
    def saved_bytes(self) -> Any:
        """Bytes kept for backward; None where the source cannot tell."""
        return self.amount("saved_bytes")

    @property
    def state_bytes(self) -> Any:
        """Bytes of the state that decoding carries; None where there is none that the source can see."""
        return self.amount("state_bytes")

    @property
    def peak_bytes(self) -> int | None:
        """Most bytes alive at one moment; None where the source cannot tell."""
        found: int | None = self.amount("peak_bytes")
        return found

    @property
    def depth(self) -> Any:
        """Longest chain of dependent operators; None where the source cannot tell."""
        return self.amount("depth")

    def derive(self, quantity: str, path: str = "") -> Derivation:
        """How a number came about: steps that add up to it; those of one module or line where a `path` is given.

        Raises UnknownName for a quantity or path that does not exist, BadTarget for one that cannot be told.
        """
        return derive(self, quantity, path)

    def by(self, way: str, rank: str = "flops") -> View:
        """The count divided by "module", "operator" or "line", ranked by a quantity.

        Raises UnknownName for another way or rank, BadTarget where the count cannot be divided so.
        """
        return view(self, way, rank)

    @property
    def lines(self) -> tuple[Mapping[str, Any], ...]:
        """Every line of every bill, as plain data."""
        bills = (self.bills.named.get(name) for name in dict.fromkeys(row.bill for row in QUANTITIES.lined()))
        return tuple(row for bill in bills if bill is not None for row in bill.to_dict()["lines"])

    def to_dict(self, *, timeline: bool = False) -> dict[str, Any]:
        """The JSON contract; see the module's head. The timeline, one row per operator, only where it is asked for."""
        plain_data = {
            "target": self.target,
            "sizes": dict(self.sizes),
            "phase": self.phase,
            "dtype": self.dtype,
            "conventions": dict(self.conventions),
            "rung": self.rung,
            **{name: self.amount(name) for name in QUANTITIES.names(Told.COUNT)},
            "lines": list(self.lines),
            "uncounted": [dict(item) for item in self.uncounted],
            "polynomials": {name: curve.to_dict() for name, curve in self.polynomials.items()},
            "seen_to": self.seen_to,
            "memory": self.memory,
            "optimizer": self.optimizer,
            "accumulate": self.accumulate,
        }
        if self.weights is not None:
            plain_data["weights"] = self.weights
        if self.unused is not None:
            plain_data["unused"] = [dict(row) for row in self.unused]
        return plain_data | {"timeline": self.timeline} if timeline else plain_data

    def to_latex(self) -> str:
        r"""An `aligned` block with a row for each quantity: its number, and what it is as a function of T."""
        rows = []
        for row in QUANTITIES.told(Told.COUNT):
            if (amount := self.amount(row.name)) is not None:
                curve = self.polynomials.get(row.name)
                written = f" = {curve.to_latex()}" if curve is not None and curve.exact else ""
                unit = rf"\,\text{{{row.symbol}}}" if row.symbol else ""
                rows.append(rf"\text{{{row.label}}} &= {formula_to_latex(amount)}{unit}{written}")
        return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$${self.to_latex()}$$"

    def to_csv(self) -> str:
        """One row of sizes and quantities, with its heading."""
        from seqcost.report.counts import flat_row
        from seqcost.report.table import rows_to_csv

        return rows_to_csv([flat_row(self.to_dict())])

    def __str__(self) -> str:
        bill = (self.bills.params if self.bills.flops is None else self.bills.flops).group(2)
        return f"{self.target}, {self.phase}, T = {self.sizes['T']}\n{bill}"

    def _repr_html_(self) -> str:
        from seqcost.report.notebook import count_html

        return count_html(self.to_dict(), self.by("line").to_dict())
