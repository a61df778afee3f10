"""The answer to "what does it cost?": Bills of one target at one length, in one phase.

JSON contract of `Count.to_dict()`, stable: keys target, sizes, phase, dtype, conventions, rung, flops, pointwise,
params, trainable_params, bytes_moved, saved_bytes, state_bytes, peak_bytes, depth, lines, uncounted, polynomials,
seen_to, memory, optimizer, accumulate; timeline where it is asked for; weights of a file of weights; unused of a trace.
The command adds letters, view and explanation where they are. What a source cannot give is None and listed under
`uncounted` with the reason, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seqcost.algebra import Bill, Kind
from seqcost.algebra.quasi import Curve
from seqcost.algebra.rendering import plain
from seqcost.questions.derivation import Derivation, Origin, derive
from seqcost.questions.views import View, view


@dataclass(frozen=True)
class Bills:
    """The Bills of one phase; None where the source cannot tell."""

    flops: Bill | None
    params: Bill
    moved: Bill | None
    saved: Bill | None
    state: Bill | None
    depth: Bill | None


CONVENTIONS = {
    "flop": "one multiply or one add; a multiply-add is two",
    "flops": "contractions only (matrix products, convolutions, FFTs); pointwise operations apart",
    "causal": "full: the whole rectangle of scores is counted",
    "lookup": "0 FLOPs; bytes count",
    "head": "counted, tied or not",
    "bytes_moved": "every operator reads each operand once and writes each result once",
    "depth": "longest chain of dependent operators; a fused recurrent kernel is one a token",
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
    trainable_params: int | None  # scalars of the parameters that a training step trains
    peak_bytes: int | None
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
    def flops(self) -> int | None:
        """FLOPs of contractions; None of weights alone."""
        return None if self.bills.flops is None else int(self.bills.flops.total(Kind.CONTRACTION))

    @property
    def pointwise(self) -> int | None:
        """Pointwise operations; None of weights alone."""
        return None if self.bills.flops is None else int(self.bills.flops.total(Kind.POINTWISE))

    @property
    def params(self) -> int:
        """Scalars of all parameters, trained or frozen."""
        return int(self.bills.params.total())

    @property
    def bytes_moved(self) -> Any:
        """Bytes read and written by all operators; None where the source cannot tell."""
        return _total(self.bills.moved)

    @property
    def saved_bytes(self) -> Any:
        """Bytes kept for backward; None where the source cannot tell."""
        return _total(self.bills.saved)

    @property
    def state_bytes(self) -> Any:
        """Bytes of the state that decoding carries; None where there is none that the source can see."""
        return _total(self.bills.state)

    @property
    def depth(self) -> Any:
        """Longest chain of dependent operators; None where the source cannot tell."""
        return _total(self.bills.depth)

    def explain(self, quantity: str, path: str = "") -> Derivation:
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
        bills = [self.bills.flops, self.bills.params, self.bills.moved, self.bills.saved, self.bills.state]
        return tuple(row for bill in bills if bill is not None for row in bill.to_dict()["lines"])

    def to_dict(self, *, timeline: bool = False) -> dict[str, Any]:
        """The JSON contract; see the module's head. The timeline, a row an operator, only where it is asked for."""
        plain_data = {
            "target": self.target,
            "sizes": dict(self.sizes),
            "phase": self.phase,
            "dtype": self.dtype,
            "conventions": dict(self.conventions),
            "rung": self.rung,
            "flops": self.flops,
            "pointwise": self.pointwise,
            "params": self.params,
            "trainable_params": self.trainable_params,
            "bytes_moved": self.bytes_moved,
            "saved_bytes": self.saved_bytes,
            "state_bytes": self.state_bytes,
            "peak_bytes": self.peak_bytes,
            "depth": self.depth,
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

    def __str__(self) -> str:
        bill = (self.bills.params if self.bills.flops is None else self.bills.flops).group(2)
        return f"{self.target}, {self.phase}, T = {self.sizes['T']}\n{bill}"

    def _repr_html_(self) -> str:
        from seqcost.report.notebook import count_html

        return count_html(self.to_dict(), self.by("line").to_dict())


def _total(bill: Bill | None) -> Any:
    return None if bill is None else plain(bill.total())


TOTALS: dict[str, Any] = {
    "flops": lambda bills: None if bills.flops is None else bills.flops.total(Kind.CONTRACTION),
    "pointwise": lambda bills: None if bills.flops is None else bills.flops.total(Kind.POINTWISE),
    "bytes_moved": lambda bills: None if bills.moved is None else bills.moved.total(),
    "saved_bytes": lambda bills: None if bills.saved is None else bills.saved.total(),
    "state_bytes": lambda bills: None if bills.state is None else bills.state.total(),
    "depth": lambda bills: None if bills.depth is None else bills.depth.total(),
}
