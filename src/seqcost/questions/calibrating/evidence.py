"""Runs on record of this very machine, each beside what the kernels of its profile say.

A job counts with the runs of its newest environment, in which machine, system, Python, PyTorch, threads and format are
those of the profile. Runs that others disturbed, or beside which the reference kernels were slow, are left out; so is
what cannot be counted any more (code that is gone, a size that no longer exists).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from seqcost.calibration.from_records import Evidence
from seqcost.errors import SeqcostError
from seqcost.machines import Machine
from seqcost.prediction.learnt import parts_of
from seqcost.progress import tell
from seqcost.questions.asked.request import Request
from seqcost.questions.predict import beside_of, by_kernels
from seqcost.questions.targets.resolve import of_record
from seqcost.records import Job, Pooled, Run, Store, pool
from seqcost.records.reference import SLOW


@dataclass(frozen=True)
class Found:
    """What can be learnt from, and how many jobs were left out, by the reason."""

    evidence: tuple[Evidence, ...]
    left_out: Mapping[str, int]

    @property
    def targets(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys(one.target for one in self.evidence))


def on_record(store: Store, machine: Machine, dtype: str) -> Found:
    """The jobs of a store that ran where the profile is from, in a format."""
    evidence: list[Evidence] = []
    left_out: dict[str, int] = {}
    for pooled in _jobs(store, machine, dtype):
        why = _unfit(pooled, store)
        found = None if why else _beside(pooled, machine)
        if found is None:
            why = why or "cannot be counted"
            left_out[why] = left_out.get(why, 0) + 1
        else:
            evidence.append(found)
    return Found(tuple(evidence), left_out)


def _jobs(store: Store, machine: Machine, dtype: str) -> Iterator[Pooled]:
    by_job: dict[Job, list[Run]] = {}
    for run in store.runs(status="ok"):
        job, facts = run.job, run.environment.to_dict()
        here = all(facts.get(name) == fact for name, fact in machine.environment.items())
        if here and (job.device, job.threads, job.dtype) == (machine.device, machine.threads, dtype):
            by_job.setdefault(job, []).append(run)
    for runs in by_job.values():
        newest = runs[-1].environment.fingerprint
        own = [run for run in runs if run.environment.fingerprint == newest]
        yield pool(_quiet(own) or own)


def _quiet(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if not run.is_disturbed]


def _unfit(pooled: Pooled, store: Store) -> str:
    """Why its time is not to be learnt from; empty where it is."""
    if pooled.is_disturbed:
        return "disturbed"
    ratio = pooled.reference_ratio(store.best_reference(pooled.environment, pooled.job.threads))
    return "beside slow reference kernels" if ratio is not None and ratio >= SLOW else ""


def _beside(pooled: Pooled, machine: Machine) -> Evidence | None:
    job = pooled.job
    tell(f"predicting {job}")
    try:
        request = Request.of(phase=job.phase, batch=job.B, dtype=job.dtype).at(job.T)
        subject = of_record(job.target)
        counted = subject.counted(request)
        found = by_kernels(counted, machine, beside_of(subject, counted, machine))
    except (SeqcostError, ImportError, OSError):
        return None
    assert pooled.median_s is not None, "it is ok"
    if not found.seconds.mid:
        return None
    return Evidence(
        target=str(job.target.get("name") or job.target["path"]),
        phase=job.phase,
        measured_s=pooled.median_s,
        parts=parts_of(found),
        predicted_s=found.seconds.mid,
        spread=math.hypot(found.spread_of_parts, found.stray),
    )
