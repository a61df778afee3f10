"""Measures one job in a process of its own and makes the record of it, whatever becomes of the process.

Never imports torch: the caller's memory and threads stay out of it, and a run that takes all memory or all time, or
kills its process, costs no more than itself. Not covered: several jobs at once, which would disturb each other.
"""

import hashlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from seqcost.errors import BadTarget
from seqcost.measure.limits import Limits
from seqcost.measure.process import ask
from seqcost.records import Job, Run, this_environment

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
    limits = limits or Limits()
    order = {
        "job": job.to_dict(),
        "time_limit_s": limits.time_s,
        "text_path": _checked_text(job, text_path),
        # without the current folder: the loader looks there for what the target names, and for nothing else
        "import_path": [entry for entry in sys.path if entry and Path(entry).absolute() != Path.cwd()],
        "loader": loader,
    }
    environment, started_at = this_environment(), datetime.now(UTC).isoformat(timespec="seconds")
    # these variables are read while torch is imported, before the worker can set anything
    answer = ask(order, limits, dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(job.threads)))
    status, reason = answer.status or "ok", answer.reason
    if "wall_s" in answer.facts and status != "ok":  # only the recording of allocations failed, the run did not
        status, reason = "ok", f"the peak of allocated memory is unknown: {reason}"
    facts = {"peak_resident_bytes": answer.highest_bytes, **answer.facts}
    return Run(
        job=job,
        environment=environment,
        status=status,
        reason=reason,
        other_cores=answer.other_cores,
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
