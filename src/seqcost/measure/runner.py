"""Measures jobs in a process of their own and makes the record of each, whatever becomes of the process.

Never imports torch: the caller's memory and threads stay out of it, and a run that takes all memory or all time, or
kills its process, costs no more than itself. Not covered: several jobs at once, which would disturb each other.
"""

import hashlib
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from seqcost.errors import BadTarget
from seqcost.measure.limits import Limits
from seqcost.measure.load import others_now
from seqcost.measure.process import Answer, Worker
from seqcost.progress import tell
from seqcost.records import Job, Reference, Run, this_environment
from seqcost.records.run import disturbs

LOADER = "seqcost.programs.program:load"


def measure(
    job: Job, limits: Limits | None = None, text_path: str | os.PathLike[str] | None = None, *, loader: str = LOADER
) -> Run:
    """Run one job in a process of its own and return its record.

    Parameters
    ----------
    job
        What to run.
    limits
        Bounds of time and memory; by default 300 s and 80 % of the memory that is available now.
    text_path
        Where the text lies whose digest the job bears; needed only then.
    loader
        `module:function` that makes the program of the job's target.

    Raises
    ------
    BadTarget
        If the text is missing or is another one.
    RunFailed
        If no process could be started.
    """
    (run,) = measure_each([job], limits, text_path, loader=loader)
    return run


def measure_each(
    jobs: Iterable[Job],
    limits: Limits | None = None,
    text_path: str | os.PathLike[str] | None = None,
    patience_s: float = 0.0,
    *,
    loader: str = LOADER,
) -> Iterator[Run]:
    """Run jobs of equal threads one after the other in one process and yield the record of each as it ends.

    The process stands still until the next record is asked for. After a job that was stopped or failed the next one
    gets a process of its own. Before a process is started, a quiet machine is waited for, `patience_s` at most. The
    limits are those of each job. Raises what `measure` raises.
    """
    limits = limits or Limits()
    with ExitStack() as kept:
        worker: Worker | None = None
        before = 0.0
        for job in jobs:
            text = _checked_text(job, text_path)
            if worker is None or worker.is_gone:
                kept.close()
                before = _cores_of_others(job, patience_s)
                # these variables are read while torch is imported, before the worker can set anything
                threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(job.threads))
                worker = kept.enter_context(Worker(threads))
            yield _measured(worker, job, limits, text, loader, before)


def _cores_of_others(job: Job, patience_s: float) -> float:
    """What others keep busy, as soon as they leave the cores that a job needs or patience ends."""
    num_cores, end_s = this_environment().num_cores, time.monotonic() + patience_s
    while disturbs(busy := others_now(), num_cores, job.threads) and time.monotonic() < end_s:
        tell(f"waiting for a quiet machine: others keep {busy:g} cores busy")
    return busy


def _measured(worker: Worker, job: Job, limits: Limits, text: str | None, loader: str, before: float) -> Run:
    order = {
        "job": job.to_dict(),
        "time_limit_s": limits.time_s,
        "text_path": text,
        # without the current folder: the loader looks there for what the target names, and for nothing else
        "import_path": [entry for entry in sys.path if entry and Path(entry).absolute() != Path.cwd()],
        "loader": loader,
    }
    environment, started_at = this_environment(), datetime.now(UTC).isoformat(timespec="seconds")
    answer: Answer = worker.ask(order, limits)
    status, reason = answer.status or "ok", answer.reason
    if "wall_s" in answer.facts and status != "ok":  # only the recording of allocations failed, the run did not
        status, reason = "ok", f"the peak of allocated memory is unknown: {reason}"
    facts = {"peak_resident_bytes": answer.highest_bytes, **answer.facts}
    if status == "ok" and reason is None and facts["peak_resident_bytes"] is None:
        reason = "the peak of resident memory is unknown: this system keeps that of the job before in the same process."
    reference = facts.pop("reference", None)
    return Run(
        job=job,
        environment=environment,
        status=status,
        reason=reason,
        other_cores=answer.other_cores,
        other_cores_before=before,
        reference=None if reference is None else Reference.from_dict(reference),
        wall_s=tuple(facts.pop("wall_s", ())),
        started_at=started_at,
        time_limit_s=limits.time_s,
        memory_limit_bytes=limits.memory_bytes,
        **facts,
    )


def _checked_text(job: Job, text_path: str | os.PathLike[str] | None) -> str | None:
    if job.text_sha256 is None:
        return None
    if text_path is None:
        raise BadTarget("the job runs over a text: give the path of its file.")
    try:
        with Path(text_path).open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadTarget(f"cannot read the text {text_path}: {error.strerror}.") from error
    if found != job.text_sha256:
        raise BadTarget(f"{text_path} is not the text of the job: its SHA-256 is {found}, not {job.text_sha256}.")
    return str(Path(text_path).absolute())
