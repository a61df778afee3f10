"""What is on record as tables, one per machine and version: they are never mixed. A row a job, its runs pooled."""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from seqcost.algebra.rendering import scaled, seconds
from seqcost.records import Job, Pooled, Run, pool
from seqcost.report.table import Table


def runs_tables(runs: Sequence[Run]) -> Iterator[Table]:
    """One table per environment, in the order in which they were first seen."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.environment.fingerprint, []).append(run)
    for group in groups.values():
        where = group[0].environment
        versions = f"torch {where.torch_version}, seqcost {where.seqcost_version}"
        source = f" {(where.commit or '')[:8]}{' + changes' if where.dirty else ''}"
        title = f"{where.cpu_model}, {where.num_cores} cores, {scaled(where.memory_bytes, 'B')}; {versions}{source}"
        headings = (
            "<target", "<phase", "B", "T", "<dtype", "<status", "median", "±", "processes", "peak", "resident", "<when",
        )  # fmt: skip
        jobs: dict[Job, list[Run]] = {}
        for run in group:
            jobs.setdefault(run.job, []).append(run)
        pooled = [pool(found) for found in jobs.values()]
        yield Table.of(title, headings, [_cells(one) for one in pooled], " ".join(_notes(pooled)))


def _notes(pooled: Sequence[Pooled]) -> Iterator[str]:
    if any(one.interval_s for one in pooled):
        yield "±: half the interval between processes; one process gives none."
    if any(one.is_disturbed for one in pooled):
        yield "*: others kept the machine busy, and too few runs are on record beside which they did not."


def _cells(run: Pooled) -> list[str]:
    job, interval = run.job, run.interval_s
    half = f"{50 * (interval[1] - interval[0]) / run.median_s:.0f} %" if interval and run.median_s else ""
    return [
        str(job.target.get("name") or job.target.get("path")),
        job.phase,
        f"{job.B:,}",
        f"{job.T:,}",
        job.dtype,
        run.status,
        "—" if run.median_s is None else f"{seconds(run.median_s)}{'*' * run.is_disturbed}",
        half,
        str(run.num_processes),
        _bytes(run.peak_allocated_bytes),
        _bytes(run.peak_resident_bytes),
        run.runs[-1].started_at[:16].replace("T", " "),
    ]


def _bytes(value: int | None) -> str:
    return "—" if value is None else scaled(Fraction(value), "B")
