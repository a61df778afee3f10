"""What the formulas answer in each phase: a forward pass, a training step, a prefill, a decoding step."""

from dataclasses import dataclass, replace
from typing import Any

from seqcost.algebra import Bill, Size
from seqcost.algebra.peak import PeakMemory
from seqcost.algebra.quantity import Quantity
from seqcost.algebra.work import Direction, Row, depth_of, flops_of, traffic_of
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.portions import composed
from seqcost.formulas.core.reading import LOSS, Ending, peak_of
from seqcost.formulas.core.workload import Workload
from seqcost.questions.answers.count import Bills, Missing


@dataclass(frozen=True)
class Phase:
    """The Bills of a phase, the rows that they are read from, the peak, and what is left out with the reason.

    `turns` are the counts of its loops.
    """

    bills: Bills
    rows: tuple[Row, ...]
    peak_bytes: Size = None  # where memory was followed
    uncounted: Missing = ()
    turns: frozenset[int] = frozenset()

    def total(self, quantity: Quantity) -> Size | None:
        """The number of a quantity that is a function of the length; None where it cannot be told."""
        return self.peak_bytes if quantity.name == "peak_bytes" else self.bills.total(quantity)


def by_formula(
    config: Component, run: Workload, phase: str, *, remembering: bool = False, chained: bool = True
) -> Phase:
    """The answer of a phase; the peak where memory is followed, which takes sizes that are numbers.

    Without `chained` a formula in T may leave the steps of loops out, which take several passes.
    """
    state = config.state_bytes(run) if config.decodes else None
    if state is None and phase in ("prefill", "decode"):
        raise BadSize(
            f"phase {phase!r} was asked of a model that sees the future (causal=False) and cannot be decoded from; "
            "ask for 'forward' or 'train', or set causal=true."
        )
    how: dict[str, Any] = {"remembering": remembering, "chained": chained}
    at, ending = _played(run, phase)
    played = config.reading(at, ending, **how)
    if phase == "train":
        named, saved = _of_training, played.kept
    else:
        named, saved = _line, config.saved_bytes(run) if phase == "forward" else Bill()
    bills = Bills(
        flops=flops_of(played.rows, named),
        params=config.params(),
        moved=traffic_of(played.rows, named),
        saved=saved,
        state=state,
        depth=depth_of(played.rows, named),
    )
    reason = "the model sees the future (causal=False): nothing is carried"
    uncounted = () if state is not None else ({"quantity": "state_bytes", "reason": reason},)
    return Phase(bills, played.rows, played.peak_bytes, uncounted, played.turns)


def peak_by_formula(config: Component, run: Workload, phase: str, *, apart: bool = False) -> PeakMemory:
    """What the peak of a phase consists of, at sizes that are numbers; `apart`, tensor by tensor."""
    at, ending = _played(run, phase)
    peak, resident = peak_of(config, at, ending, apart=apart)
    return composed(peak, resident, phase)


def _played(run: Workload, phase: str) -> tuple[Workload, Ending]:
    """How the program is played in a phase."""
    if phase == "prefill":
        return replace(run, started=True), Ending.NOTHING
    if phase == "decode":
        return run.step(), Ending.NOTHING
    return run, Ending.LOSS if phase == "train" else Ending.NOTHING


def _line(row: Row) -> str:
    return row.line


def _of_training(row: Row) -> str:
    """`forward.blocks.up`, `backward.blocks.up_dx`, `loss.pick`."""
    if row.path == LOSS:
        return row.line
    return f"{Direction(row.direction)}.{row.line}"
