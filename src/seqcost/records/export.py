"""Runs as a flat table, in CSV or Parquet: one row a run, one column a fact, an empty cell for what is unknown.

A file is written beside its place and renamed when whole, so that what bears the name is never half a table. Not
covered: reading such a table back; the store is what is read.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seqcost.errors import BadTarget, MissingExtra
from seqcost.records.digest import canonical_json
from seqcost.records.run import Run

# name of the column -> its type in Parquet
COLUMNS = {
    "job_key": "string", "target": "string", "phase": "string", "B": "int64", "T": "int64", "dtype": "string",
    "device": "string", "threads": "int64", "text_sha256": "string",
    "status": "string", "reason": "string", "started_at": "string",
    "median_s": "double", "min_s": "double", "interval_low_s": "double", "interval_high_s": "double",
    "interval_coverage": "double", "spread": "double", "num_repetitions": "int64", "num_warmup": "int64",
    "peak_allocated_bytes": "int64", "peak_resident_bytes": "int64", "baseline_resident_bytes": "int64",
    "time_limit_s": "double", "memory_limit_bytes": "int64",
    "fingerprint": "string", "machine_id": "string", "cpu_model": "string", "num_cores": "int64",
    "memory_bytes": "int64", "gpu_models": "list", "os": "string", "python_version": "string",
    "torch_version": "string", "numpy_version": "string", "seqcost_version": "string", "commit": "string",
    "dirty": "bool", "source_sha256": "string",
    "wall_s": "list",
}  # fmt: skip


def row(run: Run) -> dict[str, Any]:
    """One value for each of COLUMNS."""
    low_s, high_s = run.interval_s or (None, None)
    facts = {
        **run.job.to_dict(),
        **asdict(run.environment),
        **{name: getattr(run, name) for name in COLUMNS if hasattr(run, name)},
        "job_key": run.job.key,
        "fingerprint": run.environment.fingerprint,
        "target": canonical_json(run.job.target),
        "num_repetitions": len(run.wall_s),
        "interval_low_s": low_s,
        "interval_high_s": high_s,
    }
    return {name: list(facts[name]) if kind == "list" else facts[name] for name, kind in COLUMNS.items()}


def write_csv(runs: Iterable[Run], path: Path) -> None:
    """One line a run under a line of names; lists as JSON."""
    with _whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for run in runs:
            cells = row(run).values()
            table.writerow([json.dumps(cell) if isinstance(cell, list) else cell for cell in cells])


def write_parquet(runs: Iterable[Run], path: Path) -> None:
    """The same table with types; needs pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtra("Parquet needs pyarrow: pip install 'seqcost[parquet]'.") from error
    types = {
        "string": pyarrow.string(), "int64": pyarrow.int64(), "double": pyarrow.float64(), "bool": pyarrow.bool_(),
    }  # fmt: skip
    lists = {"gpu_models": pyarrow.list_(pyarrow.string()), "wall_s": pyarrow.list_(pyarrow.float64())}
    schema = pyarrow.schema([(name, lists.get(name) or types[kind]) for name, kind in COLUMNS.items()])
    table = pyarrow.Table.from_pylist([row(run) for run in runs], schema=schema)
    with _whole(path) as part:
        parquet.write_table(table, part)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")  # the same folder: a rename across disks is a copy
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise BadTarget(f"cannot write {path}: {error.strerror or error}; give a path in a writable folder.") from error
    finally:
        part.unlink(missing_ok=True)
