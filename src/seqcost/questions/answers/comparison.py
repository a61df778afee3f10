"""What a comparison answers: points, agreement, crossovers, orders and the complexity table, as frozen rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from seqcost.algebra.crossings import FARTHEST
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.algebra.rendering import plain
from seqcost.machines import Machine
from seqcost.questions.answers.count import Count
from seqcost.questions.answers.prediction import Prediction
from seqcost.records import Pooled


@dataclass(frozen=True)
class Point:
    """One target at one length."""

    target: str
    length: int
    count: Count
    path_length: int | None  # None where no formula says
    run: Pooled | None = None
    predicted: Prediction | None = None  # on the machine that was asked about


@dataclass(frozen=True)
class Agreement:
    """Whether the traced working layer costs what the formula says, at one length."""

    target: str
    length: int
    formula_flops: int
    traced_flops: int
    rung: str
    peak_bytes: int | None

    @property
    def agrees(self) -> bool:
        """To the FLOP."""
        return self.formula_flops == self.traced_flops


@dataclass(frozen=True)
class Crossover:
    """From `length` on, `rising` costs more than `other`.

    Of a measured one `low` and `high` are the lengths around it at which the two are told apart, `untold` those
    between; it lies between `length_low` and `length_high`. Of a predicted one a side may have no bound: None.
    """

    quantity: str
    rising: str
    other: str
    length: float
    how: str  # "solved", "interpolated" or "predicted"
    low: int | None = None
    high: int | None = None
    length_low: float | None = None
    length_high: float | None = None
    untold: tuple[int, ...] = ()


@dataclass(frozen=True)
class Standing:
    """Two targets in a measured or predicted quantity: the lengths at which `one` is below `other`, above, or neither.

    Below is: wholly, with its interval.
    """

    quantity: str
    one: str
    other: str
    below: tuple[int, ...]
    above: tuple[int, ...]
    untold: tuple[int, ...]
    why: str  # the last are not told apart; empty where there are none


@dataclass(frozen=True)
class Dominance:
    """`costly` costs more than `cheap` at every length from `start` to `farthest`: there is no crossover."""

    quantity: str
    costly: str
    cheap: str
    farthest: int = FARTHEST
    start: int = 1  # from which on both functions hold


@dataclass(frozen=True)
class Cheapest:
    """From `start` on, up to the next of its quantity, `target` costs least."""

    quantity: str
    target: str
    start: int
    exact: bool  # for every length; else for those asked for
    among: tuple[str, ...] = ()  # as measured: those that are not told apart, of which its median is the least


@dataclass(frozen=True)
class Balance:
    """From `length` on, the FLOPs of `target` that grow as T² are more than all others."""

    target: str
    length: int


@dataclass(frozen=True)
class Comparison:
    """The answer: points, agreement, crossovers and the complexity table, read off the same counts."""

    targets: tuple[str, ...]
    lengths: tuple[int, ...]
    phase: str
    points: tuple[Point, ...]
    agreement: tuple[Agreement, ...]
    crossovers: tuple[Crossover, ...]
    dominances: tuple[Dominance, ...]
    complexity: tuple[Mapping[str, str], ...]
    families: Mapping[str, str]  # of each target, for a report that groups them
    cheapest: tuple[Cheapest, ...] = ()
    balances: tuple[Balance, ...] = ()
    standings: tuple[Standing, ...] = ()
    subjects: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)  # what was asked, by name
    machine: Machine | None = None  # for which time was predicted
    check: str | None = None  # the command that would confirm what was predicted; None where none on this machine can

    def of(self, target: str) -> tuple[Point, ...]:
        """Points of one target by length."""
        return tuple(point for point in self.points if point.target == target)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "targets": list(self.targets),
            "lengths": list(self.lengths),
            "phase": self.phase,
            "points": [_point_row(point) for point in self.points],
            "agreement": [vars(a) | {"agrees": a.agrees} for a in self.agreement],
            "crossovers": [vars(c) for c in self.crossovers],
            "dominances": [vars(d) for d in self.dominances],
            "complexity": [dict(row) for row in self.complexity],
            "families": dict(self.families),
            "cheapest": [vars(c) for c in self.cheapest],
            "balances": [vars(b) for b in self.balances],
            "standings": [vars(s) for s in self.standings],
            "sizes": {name: _letters(self.of(name)[0].count) for name in self.targets},
            "runs": [run.to_dict() for point in self.points if point.run is not None for run in point.run.all_runs],
            **self._foretold(),
        }

    def _foretold(self) -> dict[str, Any]:
        """What was predicted with; nothing where no machine was asked about."""
        found = [point.predicted for point in self.points if point.predicted is not None]
        if self.machine is None or not found:
            return {}
        memory_bytes = int(self.machine.memory.amount)
        return {"machine": {"name": self.machine.key, "rests_on": found[0].rests_on, "memory_bytes": memory_bytes},
                "check": self.check}  # fmt: skip

    def to_csv(self) -> str:
        """One row per target and length."""
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(self.to_dict()["points"])

    def __str__(self) -> str:
        from seqcost.report.comparisons import tables
        from seqcost.report.sentences import sentences
        from seqcost.report.table import as_text

        answer = self.to_dict()
        return as_text(tables(answer), before=sentences(answer))

    def _repr_html_(self) -> str:
        from seqcost.report.notebook import comparison_html

        return comparison_html(self.to_dict())


def _letters(count: Count) -> dict[str, Any]:
    """Sizes and choices of a target; B, T and S are of a run."""
    return {letter: plain(value) for letter, value in count.sizes.items() if letter not in "BTS"}


def _point_row(point: Point) -> dict[str, Any]:
    cost = point.count.to_dict()
    measured = {} if point.run is None else point.run.to_dict()
    head = {"target": point.target, "T": point.length, "B": cost["sizes"]["B"], "rung": point.count.rung}
    foretold = {} if point.predicted is None else _foretold_row(point.predicted)
    counted = {key: cost[key] for key in QUANTITIES.names(Told.COUNT)}
    row = head | counted | {"path_length": point.path_length} | foretold | measured
    note = cost["conventions"].get("positions")
    return row if note is None else row | {"remark": f"{point.target}: {note}"}


def _foretold_row(found: Prediction) -> dict[str, Any]:
    seconds = found.seconds
    return {
        "predicted_s": [seconds.low, seconds.mid, seconds.high],
        "predicted_bound": found.bound,
        "predicted_peak_bytes": found.peak_bytes,
        "fits": found.fits,
    }
