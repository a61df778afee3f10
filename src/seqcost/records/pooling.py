"""Several processes of one job as one record, which only one machine and one set of versions allow.

The repetitions of one process share its memory layout, its threads and its moment, so their spread understates what a
further process will show. The sample is therefore one number a process, its median; the interval of the record is
that between processes:

- five processes or more: the interval of the median of their medians, by order statistics;
- two to four: from the lowest low to the highest high of their own intervals. That holds the median of all processes
  at least as often as the range of so many medians does: 0.5, 0.75, 0.875;
- one: none.

Not covered: a drift between the processes; the interval shows it.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from seqcost.errors import SeqcostError
from seqcost.records.environment import Environment
from seqcost.records.job import Job
from seqcost.records.reference import Best
from seqcost.records.run import Run
from seqcost.records.statistics import MIN_REPETITIONS, Interval, coverage, median_interval

PROCESSES = 3  # of a job, where nothing else is asked for


@dataclass(frozen=True)
class Pooled:
    """One job on one environment, in as many processes as there are runs; see `pool`."""

    runs: tuple[Run, ...]  # in the order in which they were made; those that are ok, where any is
    other_ends: tuple[Run, ...] = ()  # beside runs that are ok: those that were stopped or failed

    @property
    def all_runs(self) -> tuple[Run, ...]:
        """The records, those that lend no times at the end."""
        return (*self.runs, *self.other_ends)

    @property
    def job(self) -> Job:
        """What was run."""
        return self.runs[0].job

    @property
    def environment(self) -> Environment:
        """Where and with what."""
        return self.runs[0].environment

    @property
    def status(self) -> str:
        """One of STATUSES: ok where any process was, else that of the last."""
        return self.runs[-1].status

    @property
    def reason(self) -> str | None:
        """Why it is not ok, or what an ok record lacks."""
        if self.other_ends:
            ends = f"{len(self.other_ends)} of {len(self.runs) + len(self.other_ends)} processes"
            return f"{ends} ended otherwise: {self.other_ends[-1].reason}"
        return next((run.reason for run in reversed(self.runs) if run.reason), None)

    @property
    def num_processes(self) -> int:
        """How many processes gave times; 0 where none did."""
        return len(self._medians)

    @property
    def median_s(self) -> float | None:
        """Median of the processes' medians."""
        return statistics.median(self._medians) if self._medians else None

    @property
    def interval_s(self) -> tuple[float, float] | None:
        """Interval of the median between processes; None of a single one."""
        return (self._interval.low, self._interval.high) if self._interval else None

    @property
    def interval_coverage(self) -> float | None:
        """How often such an interval holds the median of all processes, at least."""
        return self._interval.coverage if self._interval else None

    @property
    def interval_basis(self) -> str:
        """What the interval is made of, or why there is none."""
        n = self.num_processes
        if n < 2:
            return "one process gives no interval" if n else "it has no times"
        if n < MIN_REPETITIONS:
            return f"lowest to highest of {n} processes"
        return f"median of {n} processes"

    @property
    def strays(self) -> tuple[float, ...]:
        """By what share the time of each process lies off the median of all others; empty of fewer than three.

        That is how far a further process will stray: its own share in the median is left out.
        """
        n = self.num_processes
        if n < 3:
            return ()
        others = (self._medians[:i] + self._medians[i + 1 :] for i in range(n))
        return tuple(abs(own / statistics.median(rest) - 1) for own, rest in zip(self._medians, others, strict=True))

    @property
    def peak_allocated_bytes(self) -> int | None:
        """Of the process that held the most."""
        return max((run.peak_allocated_bytes for run in self.runs if run.peak_allocated_bytes), default=None)

    @property
    def peak_interval_bytes(self) -> tuple[int, int] | None:
        """Least and most of the processes. Allocations are counted, not timed: a single process tells."""
        peaks = [run.peak_allocated_bytes for run in self.runs if run.peak_allocated_bytes]
        return (min(peaks), max(peaks)) if peaks else None

    @property
    def peak_resident_bytes(self) -> int | None:
        """Of the process that held the most."""
        return max((run.peak_resident_bytes for run in self.runs if run.peak_resident_bytes), default=None)

    @property
    def other_cores(self) -> float | None:
        """Cores that other processes kept busy, in the process that had most of it."""
        return max((run.other_cores for run in self.runs if run.other_cores is not None), default=None)

    @property
    def is_disturbed(self) -> bool:
        """Whether others disturbed any of the processes that gave times."""
        return any(run.is_disturbed for run in self.runs if run.wall_s)

    def reference_ratio(self, best: Best | None) -> float | None:
        """How many times their best the reference kernels took: the median of the processes; None where unknown."""
        ratios = [run.reference.ratio(best) for run in self.runs if run.reference is not None and best is not None]
        return statistics.median(ratios) if ratios else None

    def interval_of(self, quantity: str) -> tuple[float, float] | None:
        """Of a measured quantity, by the field that holds it: median_s or peak_allocated_bytes."""
        return {"median_s": self.interval_s, "peak_allocated_bytes": self.peak_interval_bytes}[quantity]

    @cached_property
    def _medians(self) -> list[float]:
        return [run.median_s for run in self.runs if run.median_s is not None]

    @cached_property
    def _interval(self) -> Interval | None:
        n = len(self._medians)
        if n < 2:
            return None
        if n >= MIN_REPETITIONS:
            return median_interval(self._medians)
        own = [run.interval_s or (min(run.wall_s), max(run.wall_s)) for run in self.runs if run.wall_s]
        return Interval(min(low for low, _ in own), max(high for _, high in own), coverage(n, 1))

    def to_dict(self) -> dict[str, Any]:
        """What a row of an answer tells of it; the raw records are those of `runs`."""
        return {
            "status": self.status,
            "num_processes": self.num_processes,
            "median_s": self.median_s,
            "interval_s": self.interval_s,
            "interval_coverage": self.interval_coverage,
            "interval_basis": self.interval_basis,
            "peak_allocated_bytes": self.peak_allocated_bytes,
            "peak_resident_bytes": self.peak_resident_bytes,
            "reason": self.reason,
            "other_cores": self.other_cores,
            "disturbed": self.is_disturbed,
        }


def pool(runs: Iterable[Run], wanted: int = PROCESSES) -> Pooled:
    """One record of several runs of one job, in the order given.

    Runs that others disturbed are left out where at least `wanted` others are there; runs that were stopped or failed
    where any is ok.

    Raises
    ------
    SeqcostError
        If there is nothing to pool, or a run is of another job or another environment.
    """
    given = list(runs)
    if not given:
        raise SeqcostError("there is no run to pool: give at least one.")
    first = given[0]
    for run in given:
        if run.job != first.job:
            raise SeqcostError(f"runs of different jobs cannot be pooled: ({first.job}) and ({run.job}).")
        if run.environment.fingerprint != first.environment.fingerprint:
            unlike = first.environment.differences(run.environment).items()
            named = "; ".join(f"{name} {mine!r} and {other!r}" for name, (mine, other) in unlike)
            raise SeqcostError(f"runs of different machines or versions cannot be pooled; they differ in {named}.")
    ok = [run for run in given if run.status == "ok"]
    if not ok:
        return Pooled((given[-1],))
    return Pooled(tuple(_quiet(ok, wanted)), tuple(run for run in given if run.status != "ok"))


def _quiet(runs: Sequence[Run], wanted: int) -> Sequence[Run]:
    quiet = [run for run in runs if not run.is_disturbed]
    return quiet if len(quiet) >= wanted else runs
