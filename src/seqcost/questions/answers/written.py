"""Where a count by formula is from: its config and run, from which each line is written again in letters."""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from seqcost.algebra import Kind, Line, Size, symbol
from seqcost.algebra.expr import is_symbolic
from seqcost.algebra.quantity import QUANTITIES
from seqcost.algebra.rendering import size_to_text
from seqcost.algebra.work import Beside, Row
from seqcost.errors import BadTarget, SeqcostError
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.workload import Workload
from seqcost.questions.answers.count import Bills
from seqcost.questions.answers.derivation import Step
from seqcost.questions.answers.phases import by_formula

DIRECTIONS = ("forward", "backward")
# A formula that branches on a size cannot be read with a letter, or with several sizes at once, in its place.
BRANCHES = (SeqcostError, TypeError, ValueError, AttributeError, AssertionError, NotImplementedError)


@dataclass(frozen=True)
class Written:
    """See `derivation.Origin`."""

    config: Component
    run: Workload
    phase: str
    bills: Bills
    rows: tuple[Row, ...]
    beside: Beside | None = None

    def steps(self, quantity: str) -> Sequence[Step]:
        """A line of the formula each, in letters where that gives the same number."""
        lines = list(_lines_of(self.bills, quantity))
        sizes, open_lines = self._in_letters(quantity)
        out = []
        for line in lines:
            direction, path = split_direction(line.name, self.phase)
            written = open_lines.get((line.name, line.kind))
            expression = numbers = ""
            if written is not None and is_symbolic(written) and _value(written, sizes) == line.amount:
                expression = size_to_text(written)
                numbers = put_in(expression, sizes)
            out.append(
                Step(
                    path=path,
                    amount=line.amount,
                    direction=direction,
                    expression=expression,
                    numbers=numbers,
                    note=line.note,
                )
            )
        return out

    def amounts(self, quantity: str) -> Iterable[tuple[str, Size]]:
        """By line."""
        return ((split_direction(line.name, self.phase)[1], line.amount) for line in _lines_of(self.bills, quantity))

    def operators(self) -> NoReturn:
        """Formulas name lines of the paper."""
        raise BadTarget(
            "a formula has the lines of the paper and not the operators of PyTorch; trace the layer for them "
            "(trace=True, --trace)."
        )

    def _in_letters(self, quantity: str) -> tuple[dict[str, Any], dict[tuple[str, Kind], Size]]:
        """The sizes put in, and the lines with letters: of all sizes where the formula allows that, else of the run."""
        own = {
            field.name: value
            for field in dataclasses.fields(self.config)  # type: ignore[arg-type]  # every Component is a dataclass
            if type(value := getattr(self.config, field.name)) is int and value > 0 and len(field.name) == 1
        }
        asked = {letter: getattr(self.run, letter) for letter in ("B", "T", "S") if getattr(self.run, letter)}
        for letters in ({k: v for k, v in own.items() if k not in asked} | asked, asked):
            try:
                own_config: Any = self.config
                config = dataclasses.replace(own_config, **{k: symbol(k) for k in letters if k not in asked})
                run = dataclasses.replace(self.run, **{k: symbol(k) for k in asked})
                open_phase = by_formula(config, run, self.phase, chained=quantity == "depth")
                lines = _lines_of(open_phase.bills, quantity)
                return letters, {(line.name, line.kind): line.amount for line in lines}
            except BRANCHES:
                continue
        return {}, {}


def split_direction(name: str, phase: str) -> tuple[str, str]:
    """`forward.blocks.up` of a training step → forward, blocks.up."""
    first, dot, rest = name.partition(".")
    return (first, rest) if phase == "train" and dot and first in DIRECTIONS else ("", name)


def put_in(expression: str, sizes: dict[str, Any]) -> str:
    """The letters of an expression replaced by sizes."""
    return re.sub(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z(])", lambda found: str(sizes.get(found[0], found[0])), expression)


def _lines_of(bills: Bills, quantity: str) -> Iterator[Line]:
    # Nothing in our layers is frozen.
    return bills.lines(QUANTITIES["params" if quantity == "trainable_params" else quantity])


def _value(amount: Size, sizes: dict[str, Any]) -> Size:
    value = amount.subs({symbol(letter): size for letter, size in sizes.items()})
    return int(value) if value.is_Integer else value
