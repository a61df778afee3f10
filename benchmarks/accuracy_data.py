"""What accuracy.py compares: the runs of a folder, pooled and corrected, each beside what is predicted of it.

The seconds of a process are divided by what the reference kernels say of its moment, beside the median of all moments.
So a job's times are those of the folder's usual moment, whatever its neighbours did. Which ratio of the two kernels is
taken is decided by the runs alone: that under which they agree best. No run is made here.
"""

import json
import math
import pickle
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from accuracy_jobs import RUNS, Group, Line, groups, lines_in

from seqcost.algebra.work import Beside
from seqcost.errors import SeqcostError
from seqcost.machines import Machine, read
from seqcost.progress import tell
from seqcost.questions.answers.count import Count
from seqcost.questions.answers.prediction import Prediction
from seqcost.questions.asked.request import Request
from seqcost.questions.predict import predicted
from seqcost.questions.targets.resolve import resolve
from seqcost.records import Environment, Job, Pooled, Run
from seqcost.records.pooling import pool

PLACE, COUNTS, LAUNCHES = "environment.json", "counts", "launches.json"
REFERENCES = ("product_s", "add_s")
# How many times longer than usual a moment made a run, by the two reference kernels.
CORRECTIONS: Mapping[str, Callable[[float, float], float]] = {
    "none": lambda product, add: 1.0,
    "the product's": lambda product, add: product,
    "the addition's": lambda product, add: add,
    "the geometric mean of both": lambda product, add: math.sqrt(product * add),
    "the larger": max,
}

Counted = tuple[Count, Beside | None]


@dataclass(frozen=True)
class Judged:
    """One job: what it took and what is predicted."""

    group: Group
    job: Job
    run: Pooled  # corrected
    found: Prediction
    beside: Beside | None  # what its caller does beside launches
    halves: float | None  # how far the processes of odd rounds and those of even ones are apart

    @property
    def target(self) -> str:
        """Its name."""
        return self.group.name

    @property
    def length(self) -> int:
        """Tokens."""
        return self.job.T

    @cached_property
    def seconds(self) -> float:
        """Median of the processes."""
        assert self.run.median_s is not None
        return self.run.median_s

    @property
    def mid(self) -> float:
        """The best guess."""
        return self.found.seconds.mid

    @property
    def error(self) -> float:
        """Predicted over measured, less one."""
        return self.mid / self.seconds - 1

    @property
    def memory_error(self) -> float | None:
        """The same of peak memory; None where either is not known."""
        told, held = self.found.count.peak_bytes, self.run.peak_allocated_bytes
        return None if told is None or not held else told / held - 1

    def __str__(self) -> str:
        return f"{self.group}, {self.job.phase}, T {self.job.T}"


@dataclass(frozen=True)
class Folder:
    """What `accuracy.py run` left."""

    path: Path
    clock: str = "wall_s"  # or cpu_s: of one thread on a busy machine, what it would take on a quiet one

    @cached_property
    def place(self) -> dict[str, Any]:
        """Environment and threads."""
        found: dict[str, Any] = json.loads((self.path / PLACE).read_text())
        return found

    @cached_property
    def environment(self) -> Environment:
        """Where the runs were made."""
        return Environment.from_dict(self.place["environment"])

    @cached_property
    def machines(self) -> list[Machine]:
        """The calibrations in their order."""
        return [read(path) for path in sorted(self.path.glob("calibration_*.toml"))]

    @cached_property
    def lines(self) -> list[Line]:
        """The runs of jobs that are asked for; the last where one was made twice."""
        asked = {job.key for group in groups(self.place["threads"]) for job in group.jobs}
        from_file = {(line["round"], line["key"]): line for line in lines_in(self.path / RUNS)}
        return [line for line in from_file.values() if line["key"] in asked]

    @cached_property
    def usual(self) -> dict[str, float]:
        """The median of each reference kernel."""
        return {
            name: statistics.median(s for line in self.lines for s in line.get("reference", {}).get(name, ()))
            for name in REFERENCES
        }

    def times(self, way: str) -> dict[str, dict[int, float]]:
        """Corrected seconds of each job in each round."""
        out: dict[str, dict[int, float]] = {}
        for line in self.lines:
            if line["status"] == "ok":
                ratios = (statistics.mean(line["reference"][name]) / self.usual[name] for name in REFERENCES)
                seconds = statistics.median(line[self.clock]) / CORRECTIONS[way](*ratios)
                out.setdefault(line["key"], {})[line["round"]] = seconds
        return out

    @cached_property
    def chosen(self) -> str:
        """The correction under which a further process strays least; none where there are too few to tell."""
        floors = {way: self.strays(way) for way in CORRECTIONS}
        if not all(floors.values()):
            return "none"
        return min(floors, key=lambda way: statistics.median(floors[way]))

    def strays(self, way: str) -> list[float]:
        """How far each process is from the median of the others of its job."""
        out = []
        for times in self.times(way).values():
            for k, own in times.items():
                rest = [seconds for other, seconds in times.items() if other != k]
                if len(rest) > 1:
                    out.append(abs(own / statistics.median(rest) - 1))
        return out

    def pooled(self, job: Job, times: Mapping[int, float], peak: int | None) -> Pooled:
        """Its processes as one record."""
        runs = [
            Run(
                job=job, environment=self.environment, status="ok", wall_s=(seconds,), peak_allocated_bytes=peak,
                started_at=self.lines[0]["at"], time_limit_s=1.0, memory_limit_bytes=1,
            )
            for _, seconds in sorted(times.items())
        ]  # fmt: skip
        return pool(runs, wanted=1)

    def judged(self, *, recount: bool) -> list[Judged]:
        """Every job that was run, beside its prediction by the first calibration."""
        times = self.times(self.chosen)
        peaks = {line["key"]: line["peak_allocated_bytes"] for line in self.lines if "peak_allocated_bytes" in line}
        out = []
        for group in groups(self.place["threads"]):
            jobs = [job for job in group.jobs if job.key in times]
            counts = self.counts(group, jobs, recount=recount)
            for job in jobs:
                if job.key in counts:
                    run = self.pooled(job, times[job.key], peaks.get(job.key))
                    found = predicted(counts[job.key][0], self.machines[0], counts[job.key][1])
                    out.append(Judged(group, job, run, found, counts[job.key][1], halves(times[job.key])))
        return out

    def counts(self, group: Group, jobs: Sequence[Job], *, recount: bool) -> dict[str, Counted]:
        """What each job costs and what its caller does beside, as it was counted before."""
        path = self.path / COUNTS / f"{group.name.replace(':', '.')}_{group.D}.pickle"
        known: dict[str, Counted] = {} if recount or not path.exists() else pickle.loads(path.read_bytes())
        missing = [job for job in jobs if job.key not in known]
        if missing:
            tell(f"counting {group}")
            subject = resolve(group.target, group.sizes)
            for job in missing:
                try:
                    count = subject.counted(Request.of(phase=job.phase, batch=job.B).at(job.T))
                    known[job.key] = count, subject.beside(count)
                except SeqcostError as error:  # told on the page as a job without a prediction
                    tell(f"{group}, {job.phase}, T {job.T}: {error}")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(pickle.dumps(known))
        return known

    def launches(self, *, recount: bool) -> dict[str, tuple[int, int]]:
        """Launches of every target of the catalogue that was run, by phase: by formula, and of a trace."""
        path = self.path / LAUNCHES
        known: dict[str, tuple[int, int]] = {} if recount or not path.exists() else json.loads(path.read_text())
        ran = {(line["name"], line["D"]) for line in self.lines}
        for group in (group for group in groups(self.place["threads"]) if (group.name, group.D) in ran):
            for job in {job.phase: job for job in reversed(group.jobs)}.values():  # the shortest of each phase
                name = f"{group}, {job.phase}, T {job.T}"
                if group.sizes is not None and job.phase != "decode" and name not in known:
                    tell(f"tracing {name}")
                    subject = resolve(group.target, group.sizes)
                    asked = [Request.of(phase=job.phase, batch=job.B, trace=trace).at(job.T) for trace in (False, True)]
                    known[name] = tuple(sum(int(r.launches) for r in subject.counted(a).rows) for a in asked)  # type: ignore[assignment]
        path.write_text(json.dumps(known))
        return known


def halves(times: Mapping[int, float]) -> float | None:
    """How far the medians of every second process are apart; None of fewer than four."""
    ordered = [seconds for _, seconds in sorted(times.items())]
    if len(ordered) < 4:
        return None
    return abs(statistics.median(ordered[::2]) / statistics.median(ordered[1::2]) - 1)
