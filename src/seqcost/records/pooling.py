"""Pooling the repetitions of several runs of one job, which only one machine and one set of versions allow.

Not covered: a drift between the runs; the spread of the pooled times shows it.
"""

from collections.abc import Iterable
from dataclasses import replace

from seqcost.errors import SeqcostError
from seqcost.records.run import Run


def merge(runs: Iterable[Run]) -> Run:
    """One run with the repetitions of all, in the order given; memory is that of the run that held the most.

    Raises
    ------
    SeqcostError
        If there is nothing to merge, or a run is of another job or another environment, or is not ok.
    """
    runs = list(runs)
    if not runs:
        raise SeqcostError("there is no run to merge: give at least one.")
    first = runs[0]
    for run in runs:
        if run.status != "ok":
            raise SeqcostError(f"only runs that are ok have times to merge, and one is {run.status!r}: {run.reason}")
        if run.job != first.job:
            raise SeqcostError(f"runs of different jobs cannot be merged: ({first.job}) and ({run.job}).")
        if run.environment.fingerprint != first.environment.fingerprint:
            unlike = first.environment.differences(run.environment).items()
            named = "; ".join(f"{name} {mine!r} and {other!r}" for name, (mine, other) in unlike)
            raise SeqcostError(f"runs of different machines or versions cannot be merged; they differ in {named}.")
    largest = max(runs, key=lambda run: run.peak_resident_bytes or 0)
    return replace(
        largest,
        wall_s=tuple(time_s for run in runs for time_s in run.wall_s),
        num_warmup=sum(run.num_warmup or 0 for run in runs),
        peak_allocated_bytes=max(run.peak_allocated_bytes or 0 for run in runs) or None,
        started_at=min(run.started_at for run in runs),
    )
