"""Runs as a flat table, in CSV or Parquet: one row per run, one column per fact, an empty cell for what is unknown.

Any other plain rows can be written as Parquet too. Their whole numbers are int64; a column in which one of them is
beyond int64 is text, which is exact at any size and which every reader takes.

A file is written beside its place and renamed when whole, so that what bears the name is never half a table. Not
covered: reading such a table back; the store is what is read.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seqcost.errors import BadTarget
from seqcost.extras import need
from seqcost.foreign import harmless_cell
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
    "time_limit_s": "double", "memory_limit_bytes": "int64", "other_cores": "double",
    "other_cores_before": "double", "disturbed": "bool", "reference_product_s": "list", "reference_add_s": "list",
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
        "disturbed": run.is_disturbed,
        "reference_product_s": run.reference.product_s if run.reference else (),
        "reference_add_s": run.reference.add_s if run.reference else (),
    }
    return {name: list(facts[name]) if kind == "list" else facts[name] for name, kind in COLUMNS.items()}


def write_csv(runs: Iterable[Run], path: Path) -> None:
    """One line per run under a line of names; lists as JSON."""
    with _whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for run in runs:
            cells = row(run).values()
            table.writerow([harmless_cell(json.dumps(cell) if isinstance(cell, list) else cell) for cell in cells])


def write_parquet(runs: Iterable[Run], path: Path) -> None:
    """The same table with types; needs pyarrow."""
    pyarrow, parquet = _pyarrow()
    types = {
        "string": pyarrow.string(), "int64": pyarrow.int64(), "double": pyarrow.float64(), "bool": pyarrow.bool_(),
    }  # fmt: skip
    types["list"] = pyarrow.list_(pyarrow.float64())
    texts = {"gpu_models": pyarrow.list_(pyarrow.string())}
    schema = pyarrow.schema([(name, texts.get(name) or types[kind]) for name, kind in COLUMNS.items()])
    table = pyarrow.Table.from_pylist([row(run) for run in runs], schema=schema)
    with _whole(path) as part:
        parquet.write_table(table, part)


def write_rows(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plain rows as Parquet; a column for every key, in order of first appearance, of the type of its values."""
    pyarrow, parquet = _pyarrow()
    columns = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(name) for row in rows]
        kind = _kind_of(values)
        if kind == "string":
            values = [value if value is None or isinstance(value, str) else _text(value) for value in values]
        inner = {"bool": pyarrow.bool_(), "int64": pyarrow.int64(), "double": pyarrow.float64()}
        types = inner | {"string": pyarrow.string(), "list": pyarrow.list_(pyarrow.float64())}
        columns[name] = pyarrow.array(values, types[kind])
    with _whole(path) as part:
        parquet.write_table(pyarrow.table(columns), part)


def _kind_of(values: Sequence[Any]) -> str:
    """The type that takes all values of a column exactly; a column of unknown numbers is int64 like its likes."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "bool"
    if kinds <= {int}:
        return "int64" if all(-(2**63) <= value < 2**63 for value in values if value is not None) else "string"
    if kinds == {float}:
        return "double"
    numbers = all(isinstance(item, int | float) for value in values if value is not None for item in _items(value))
    return "list" if kinds <= {list, tuple} and numbers else "string"


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _pyarrow() -> tuple[Any, Any]:
    need("pyarrow", "Parquet needs")
    import pyarrow
    from pyarrow import parquet

    return pyarrow, parquet


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    part = path.with_name(f".{path.name}.{os.getpid()}.part")  # the same folder: a rename across disks is a copy
    try:
        yield part
        part.replace(path)
    except OSError as error:
        raise BadTarget(f"cannot write {path}: {error.strerror or error}; give a path in a writable folder.") from error
    finally:
        with suppress(OSError):  # there is none, or no folder for one
            part.unlink()
