"""Where a traced count is from: the rows of the ledger, each an operator of a module, with calls and shapes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.quantity import QUANTITIES
from seqcost.algebra.work import Beside, Row
from seqcost.questions.answers.derivation import Step
from seqcost.trace import Trace
from seqcost.trace.answer.wording import shapes_text, words_for

_COLUMNS = {quantity.name: quantity.row for quantity in QUANTITIES.of_operators()}
_CHAIN = {"depth": "steps"}  # which no operator has a part of by itself


@dataclass(frozen=True)
class Followed:
    """See `derivation.Origin`."""

    seen: Trace

    @property
    def rows(self) -> tuple[Row, ...]:
        """Of the run, or of the formulas that gave it."""
        return self.seen.rows

    @property
    def beside(self) -> Beside | None:
        """Of the longest run that was followed."""
        return self.seen.beside

    def steps(self, quantity: str) -> Sequence[Step]:
        """A step for the calls of one operator by one module whose shapes are the same."""
        if quantity == "params":
            return [self._weight(name, shape) for name, shape in self.seen.weights.items()]
        if quantity == "trainable_params":
            trained = {name: shape for name, shape in self.seen.weights.items() if name in self.seen.trained}
            return [self._weight(name, shape) for name, shape in trained.items()]
        if quantity == "saved_bytes":
            note = "tensors that autograd keeps for backward"
            return [Step(path=_plain(line.name), amount=line.amount, note=note) for line in self.seen.saved or ()]
        if quantity == "state_bytes":
            return [Step(path="", amount=self.seen.state_bytes or 0, note="the tensors of the state")]
        column = (_COLUMNS | _CHAIN)[quantity]
        return [step for row in self.seen.rows if (step := self._of_row(row, column)) is not None]

    def amounts(self, quantity: str) -> Iterable[tuple[str, Size]]:
        """By path of the module."""
        if column := (_COLUMNS | _CHAIN).get(quantity):
            return ((self._path(row), getattr(row, column)) for row in self.seen.rows)
        if quantity == "params":
            return ((name.rpartition(".")[0], math.prod(shape)) for name, shape in self.seen.weights.items())
        return ((_plain(line.name), line.amount) for line in self.seen.saved or ())

    def operators(self) -> Sequence[Mapping[str, Any]]:
        """Sums by operator over all modules and directions."""
        found: dict[str, dict[str, Any]] = {}
        for row in (row for row in self.seen.rows if row.launches):
            sums = found.setdefault(row.name, {"calls": 0, **dict.fromkeys(_COLUMNS, 0)})
            sums["calls"] += row.launches
            for quantity, column in _COLUMNS.items():
                sums[quantity] += getattr(row, column)
        return [{"name": name, **sums} for name, sums in found.items()]

    def _of_row(self, row: Row, column: str) -> Step | None:
        amount = getattr(row, column)
        if not amount:
            return None
        common = {"path": self._path(row), "operator": row.name, "amount": amount, "calls": row.launches}
        if self.seen.phase == "train":
            common["direction"] = str(row.direction)
        if column == "steps":
            return Step(**common, note="on the longest chain of dependent operators")
        if not row.operands and not row.results:
            return Step(**common, note="derived from shorter runs; its shapes are not known")
        words = words_for(row, column)
        return Step(**common, shapes=shapes_text(row), expression=words.letters, numbers=words.numbers)

    def _path(self, row: Row) -> str:
        return row.path or ("optimizer" if row.direction == "optimizer" else "")

    def _weight(self, name: str, shape: tuple[int, ...]) -> Step:
        sizes = "·".join(map(str, shape)) or "1"
        return Step(path=name, amount=math.prod(shape), shapes=f"[{','.join(map(str, shape))}]", numbers=sizes)


def _plain(name: str) -> str:
    return "" if name == "module" else name
