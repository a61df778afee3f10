"""Many jobs, each in several processes that are spread over time; what was measured here before is not measured again.

Rounds: each round runs every job once, the jobs of one target one after the other in one process, the shortest first;
then the next round begins. So the processes of a job lie far apart, and what disturbs the machine for a minute meets
one process of many jobs instead of all processes of one. Each run is stored as it ends: a sweep that was killed goes on
where it stopped, run again with the same store.

Before a process is started, others are looked at; where they keep the machine busy, it waits a little. A run that was
disturbed all the same is repeated, at most `retries` times. All runs are kept; `pool` leaves the disturbed ones out
where there are enough others.

Not covered: several jobs at once, which would disturb each other.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from seqcost.measure.limits import Limits
from seqcost.measure.runner import LOADER, measure_each
from seqcost.measure.turn import turn
from seqcost.progress import tell
from seqcost.records import Job, Pooled, Run, Store, pool, this_environment

SAME_MEMORY = 0.9  # the default limit follows what is available and so is never twice the same
RETRIES = 2  # of a run that others disturbed
PATIENCE_S = 5.0  # how long a quiet machine is waited for, before a process is started


@dataclass(frozen=True)
class Done:
    """One run that has just ended, of those that this sweep makes."""

    run: Run
    number: int  # from 1 on
    of: int  # as it looks now: a repetition makes it one more, a job that hits a limit is not run again
    again: bool  # others disturbed it, and it is run again


@dataclass
class _Plan:
    """A job, and its runs that count."""

    job: Job
    retries: int
    own: list[Run] = field(default_factory=list)  # made by this sweep
    stored: list[Run] = field(default_factory=list)  # made before, or meanwhile by others

    @property
    def runs(self) -> list[Run]:
        """Each once: what we made is stored, too, unless the store cannot be written."""
        return [*self.stored, *(run for run in self.own if run not in self.stored)]

    def lacks(self, processes: int) -> int:
        """How many of so many processes are missing; what was disturbed and repeated in vain is one."""
        runs = self.runs
        if any(run.status != "ok" for run in runs):  # and would end so again
            return 0
        disturbed = sum(run.is_disturbed for run in runs)
        return max(0, processes - (len(runs) - disturbed) - disturbed // (1 + self.retries))


def sweep(
    jobs: Iterable[Job],
    store: Store,
    limits: Limits | None = None,
    *,
    processes: int = 1,
    retries: int = RETRIES,
    on_start: Callable[[Job], object] | None = None,
    on_done: Callable[[Done], object] | None = None,
    on_wait: Callable[[], object] | None = None,
    again: bool = False,
    text_path: str | os.PathLike[str] | None = None,
    loader: str = LOADER,
) -> list[Pooled]:
    """Record of each job, in order, from at least so many processes of this very environment, stored or made now.

    A run that hit a limit counts as measured unless the present limit is wider, and one such is enough; one that failed
    is tried once more. `on_start` and `on_done` are called for jobs that are really run, `on_wait` where somebody else
    measures on this machine and must end first; `again` measures all of them.
    """
    plans = [_Plan(job, retries) for job in jobs]
    swept = _Sweep(plans, store, limits or Limits(), processes, retries, again, on_start, on_done, text_path, loader)
    swept.look_up(plans)
    for _ in range(processes):
        for group in _groups(plans):
            if swept.open(group):
                with turn(on_wait):
                    swept.look_up(group)  # whoever was before us may have run them
                    swept.run(swept.open(group))
    return [pool(plan.runs, processes) for plan in plans]


def _groups(plans: Iterable[_Plan]) -> list[list[_Plan]]:
    """Those that one process can run: of one target, at rising lengths, so that none finds what a larger one left."""
    found: dict[object, list[_Plan]] = {}
    for plan in plans:
        job = plan.job
        alike = (repr(job.target), job.phase, job.dtype, job.device, job.threads, job.text_sha256)
        found.setdefault(alike, []).append(plan)
    return [sorted(group, key=lambda plan: plan.job.B * plan.job.T) for group in found.values()]


@dataclass
class _Sweep:
    plans: Sequence[_Plan]
    store: Store
    limits: Limits
    processes: int
    retries: int
    again: bool
    on_start: Callable[[Job], object] | None
    on_done: Callable[[Done], object] | None
    text_path: str | os.PathLike[str] | None
    loader: str
    num_done: int = 0

    def look_up(self, plans: Iterable[_Plan]) -> None:
        """Take from the store what was measured in this environment, by us or by others."""
        if self.again:
            return
        environment = this_environment()
        for plan in plans:
            known = self.store.runs(job=plan.job, environment=environment)
            plan.stored = [run for run in known if self._would_end_alike(run)]

    def _would_end_alike(self, known: Run) -> bool:
        if known.status == "timeout":
            return known.time_limit_s >= self.limits.time_s
        if known.status == "memory":
            return known.memory_limit_bytes >= SAME_MEMORY * self.limits.memory_bytes
        return known.status == "ok"

    def open(self, plans: Iterable[_Plan]) -> list[_Plan]:
        """Those that lack a process."""
        return [plan for plan in plans if plan.lacks(self.processes)]

    def run(self, plans: Sequence[_Plan]) -> None:
        """Each once, and again where others disturbed it."""
        for attempt in range(1 + self.retries):
            if plans:
                plans = list(self._disturbed(plans, is_first=attempt == 0, is_last=attempt == self.retries))

    def _disturbed(self, plans: Sequence[_Plan], *, is_first: bool, is_last: bool) -> Iterator[_Plan]:
        """Run each and give those that are to be run again."""
        made = measure_each(
            self._announced(plans, is_first=is_first), self.limits, self.text_path, PATIENCE_S, loader=self.loader
        )
        for plan, run in zip(plans, made, strict=True):
            self.store.add(run)
            plan.own.append(run)
            again = run.is_disturbed and run.status == "ok" and not is_last
            self.num_done += 1
            if self.on_done:
                left = sum(other.lacks(self.processes) for other in self.plans)
                self.on_done(Done(run, self.num_done, self.num_done + left, again))
            if again:
                yield plan

    def _announced(self, plans: Sequence[_Plan], *, is_first: bool) -> Iterator[Job]:
        for plan in plans:
            if not is_first:
                tell(f"again, others disturbed it: {plan.job}")
            elif self.on_start:
                self.on_start(plan.job)
            yield plan.job
