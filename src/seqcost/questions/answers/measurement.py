"""What a measurement answers: runs on this machine by target and length, beside what was predicted for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqcost.questions.answers.comparison import Cheapest, Crossover, Standing
from seqcost.records import Environment, Pooled
from seqcost.records.statistics import quantile


@dataclass(frozen=True)
class Forecast:
    """What a run was predicted to take, before it ran: seconds as an interval, and bytes."""

    low_s: float
    mid_s: float
    high_s: float
    peak_bytes: int | None = None

    def holds(self, interval_s: tuple[float, float]) -> bool:
        """Whether any of a measured interval lies within the predicted one."""
        return self.low_s <= interval_s[1] and interval_s[0] <= self.high_s


@dataclass(frozen=True)
class Measured:
    """One target at one length, run."""

    target: str
    length: int
    run: Pooled
    predicted: Forecast | None = None
    reference_ratio: float | None = None  # how many times their best here the reference kernels took beside it

    @property
    def ratio(self) -> float | None:
        """Measured over predicted time."""
        if self.predicted is None or self.run.median_s is None:
            return None
        return self.run.median_s / self.predicted.mid_s

    @property
    def peak_ratio(self) -> float | None:
        """Measured over predicted peak memory."""
        peak = self.run.peak_allocated_bytes
        return (
            None
            if self.predicted is None or not self.predicted.peak_bytes or peak is None
            else peak / self.predicted.peak_bytes
        )

    @property
    def is_outside(self) -> bool | None:
        """Whether all of the measured interval, of one process its time, is outside of the predicted interval."""
        run = self.run
        if self.predicted is None or run.median_s is None:
            return None
        return not self.predicted.holds(run.interval_s or (run.median_s, run.median_s))

    def to_dict(self) -> dict[str, Any]:
        """A flat row."""
        predicted = self.predicted
        interval = None if predicted is None else [predicted.low_s, predicted.mid_s, predicted.high_s]
        return {
            "target": self.target,
            "T": self.length,
            "B": self.run.job.B,
            **self.run.to_dict(),
            "reference_ratio": self.reference_ratio,
            "predicted_s": interval,
            "predicted_peak_bytes": None if predicted is None else predicted.peak_bytes,
            "ratio": self.ratio,
            "peak_ratio": self.peak_ratio,
            "outside": self.is_outside,
        }


@dataclass(frozen=True)
class Measurement:
    """The answer: what ran, who costs more as far as it can be told, and where."""

    targets: tuple[str, ...]
    lengths: tuple[int, ...]
    phase: str
    B: int
    dtype: str
    threads: int
    processes: int  # asked for
    points: tuple[Measured, ...]
    crossovers: tuple[Crossover, ...]
    standings: tuple[Standing, ...]
    cheapest: tuple[Cheapest, ...]
    families: Mapping[str, str]
    environment: Environment

    @property
    def floor(self) -> dict[str, float | int] | None:
        """How far a further process strays from a time of this answer: no prediction can be closer than that.

        `median` and `p90` of the share by which a process lies off the others of its job; `num_runs`, how many do. None
        where no job ran in three processes. Runs that others disturbed are left out.
        """
        strays = [stray for point in self.points if not point.run.is_disturbed for stray in point.run.strays]
        if not strays:
            return None
        return {"median": quantile(strays, 0.5), "p90": quantile(strays, 0.9), "num_runs": len(strays)}

    def of(self, target: str) -> tuple[Measured, ...]:
        """Points of one target by length."""
        return tuple(point for point in self.points if point.target == target)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "targets": list(self.targets),
            "lengths": list(self.lengths),
            "phase": self.phase,
            "B": self.B,
            "dtype": self.dtype,
            "threads": self.threads,
            "processes": self.processes,
            "floor": self.floor,
            "points": [point.to_dict() for point in self.points],
            "crossovers": [vars(c) for c in self.crossovers],
            "standings": [vars(s) for s in self.standings],
            "cheapest": [vars(c) for c in self.cheapest],
            "families": dict(self.families),
            "environment": self.environment.to_dict(),
            "runs": [run.to_dict() for point in self.points for run in point.run.all_runs],
        }

    def to_csv(self) -> str:
        """One row per target and length."""
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(self.to_dict()["points"])

    def __str__(self) -> str:
        from seqcost.report.measurements import sentences, tables
        from seqcost.report.table import as_text

        answer = self.to_dict()
        return as_text(tables(answer), before=sentences(answer))

    def _repr_html_(self) -> str:
        from seqcost.report.measurements import sentences, tables
        from seqcost.report.notebook import in_notebook

        answer = self.to_dict()
        return in_notebook(tables(answer), sentences(answer))
