"""What became of one job in one process: raw numbers first, statistics as properties over them.

Times are those of each repetition, warm-up left out. Unknown is None, never 0. Not covered: what the run was
predicted to cost; a prediction stands beside a record, not in it.
"""

import statistics
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from seqcost.records.environment import Environment
from seqcost.records.job import Job
from seqcost.records.reference import Reference
from seqcost.records.statistics import Interval, median_interval

TOLERATED_CORES = 0.25  # of other processes, beside which a run is not disturbed
STATUSES = ("ok", "timeout", "memory", "failed")


def disturbs(other_cores: float | None, num_cores: int, threads: int) -> bool:
    """Whether a job of so many threads lacks cores where others keep so many busy; False where nobody knows."""
    if other_cores is None:
        return False
    return other_cores > TOLERATED_CORES and num_cores - other_cores < threads + TOLERATED_CORES


@dataclass(frozen=True, kw_only=True)
class Run:
    """One measured job on one environment."""

    job: Job
    environment: Environment
    status: str  # one of STATUSES
    reason: str | None = None  # one sentence: why not ok, or what an ok run lacks
    wall_s: tuple[float, ...] = ()  # in the order in which they ran
    num_warmup: int | None = None  # runs before the first of wall_s
    peak_allocated_bytes: int | None = None  # parameters, inputs, state and the most that the run held beside them
    peak_resident_bytes: int | None = None  # of a stopped run the most that was seen, so at least this
    baseline_resident_bytes: int | None = None  # with everything loaded, before the first run
    other_cores: float | None = None  # cores that other processes kept busy meanwhile, on average
    other_cores_before: float | None = None  # the same, over the half second before its process was started
    reference: Reference | None = None  # what fixed kernels took before and after it, in the same process
    started_at: str  # UTC, ISO 8601
    time_limit_s: float
    memory_limit_bytes: int

    def __post_init__(self) -> None:
        assert self.status in STATUSES
        assert (self.status == "ok") == bool(self.wall_s), "times are those of an ok run"
        assert self.status == "ok" or self.reason, "a run that is not ok says why"

    @property
    def is_disturbed(self) -> bool:
        """Whether others took so much of the machine, while it ran, that its times cannot be trusted."""
        return disturbs(self.other_cores, self.environment.num_cores, self.job.threads)

    @property
    def median_s(self) -> float | None:
        """Median of the repetitions."""
        return statistics.median(self.wall_s) if self.wall_s else None

    @property
    def min_s(self) -> float | None:
        """Shortest repetition: the least disturbed one."""
        return min(self.wall_s, default=None)

    @property
    def interval_s(self) -> tuple[float, float] | None:
        """Interval of the median, without assuming a distribution; None below five repetitions."""
        return (self._interval.low, self._interval.high) if self._interval else None

    @property
    def interval_coverage(self) -> float | None:
        """How often such an interval holds the true median: at least 0.95, at five repetitions 0.9375."""
        return self._interval.coverage if self._interval else None

    @property
    def spread(self) -> float | None:
        """Distance between the quartiles, relative to the median; None below two repetitions."""
        if len(self.wall_s) < 2:
            return None
        low, median, high = statistics.quantiles(self.wall_s, n=4, method="inclusive")
        return (high - low) / median

    @cached_property
    def _interval(self) -> Interval | None:
        return median_interval(self.wall_s)

    def to_dict(self) -> dict[str, Any]:
        """Every field, as JSON holds it; statistics are left out, they follow."""
        fields = {**asdict(self), "job": self.job.to_dict(), "environment": self.environment.to_dict()}
        reference = None if self.reference is None else self.reference.to_dict()
        return {**fields, "wall_s": list(self.wall_s), "reference": reference}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Run":
        """Back from `to_dict`, equal in every field; ValueError, TypeError or KeyError where that is not what it is.

        What an earlier seqcost did not write yet (the load before, the reference) is unknown.
        """
        if fields["status"] not in STATUSES:
            raise ValueError(f"unknown status {fields['status']!r}")
        if (fields["status"] == "ok") != bool(fields["wall_s"]) or not (fields["status"] == "ok" or fields["reason"]):
            raise ValueError("times without an end in ok, or an end without times or a reason")
        reference = fields.get("reference")
        return cls(
            **{
                **fields,
                "job": Job(**fields["job"]),
                "environment": Environment.from_dict(fields["environment"]),
                "wall_s": tuple(fields["wall_s"]),
                "reference": None if reference is None else Reference.from_dict(reference),
            }
        )
