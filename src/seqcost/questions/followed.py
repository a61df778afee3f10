"""Where a traced count is from: the rows of the ledger, each an operator of a module, with calls and shapes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.quantity import QUANTITIES
from seqcost.errors import BadTarget
from seqcost.questions.derivation import Step
from seqcost.trace import Trace
from seqcost.trace.answer.result import Booked
from seqcost.trace.answer.wording import shapes_text, words_for


@dataclass(frozen=True)
class Followed:
    """See `derivation.Origin`."""

    seen: Trace

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
        if quantity == "depth":
            raise BadTarget(
                "the depth of a trace is one chain through the whole run, which keeps its length and not its links; "
                "ask a formula for its depth, or this trace for flops or bytes_moved."
            )
        return [step for row in self.seen.operators for step in self._of_row(row, QUANTITIES[quantity].row)]

    def amounts(self, quantity: str) -> Iterable[tuple[str, Size]]:
        """By path of the module."""
        if column := QUANTITIES[quantity].row:
            return ((self._path(row), getattr(row, column)) for row in self.seen.operators)
        if quantity == "params":
            return ((name.rpartition(".")[0], math.prod(shape)) for name, shape in self.seen.weights.items())
        return ((_plain(line.name), line.amount) for line in self.seen.saved or ())

    def operators(self) -> Sequence[Mapping[str, Any]]:
        """Sums by operator over all modules and directions."""
        quantities, found = QUANTITIES.of_operators(), dict[str, dict[str, Any]]()
        for row in self.seen.operators:
            sums = found.setdefault(row.operator, {"calls": 0, **dict.fromkeys((q.name for q in quantities), 0)})
            sums["calls"] += row.calls
            for quantity in quantities:
                sums[quantity.name] += getattr(row, quantity.row)
        return [{"name": name, **sums} for name, sums in found.items()]

    def _of_row(self, row: Booked, column: str) -> Iterable[Step]:
        common = {"path": self._path(row), "operator": row.operator}
        if self.seen.phase == "train":
            common["direction"] = row.direction
        amount = getattr(row, column)
        if not row.alike and amount:
            note = "derived from shorter runs, whose shapes are others"
            yield Step(**common, amount=amount, calls=row.calls, note=note)
        for alike in row.alike:
            if part := getattr(alike, column):
                words = words_for(row.operator, column, alike)
                yield Step(
                    **common,
                    amount=part,
                    shapes=shapes_text(alike),
                    expression=words.letters,
                    numbers=words.numbers,
                    calls=alike.calls,
                )

    def _path(self, row: Booked) -> str:
        return row.path or ("optimizer" if row.direction == "optimizer" else "")

    def _weight(self, name: str, shape: tuple[int, ...]) -> Step:
        sizes = "·".join(map(str, shape)) or "1"
        return Step(path=name, amount=math.prod(shape), shapes=f"[{','.join(map(str, shape))}]", numbers=sizes)


def _plain(name: str) -> str:
    return "" if name == "module" else name
