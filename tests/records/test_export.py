import csv
import json
import sys

import pytest
from pyarrow import parquet

from seqcost.errors import BadTarget, MissingExtra
from seqcost.records import Store
from seqcost.records.export import COLUMNS, write_csv, write_rows


@pytest.fixture
def runs(make_run, make_job):
    timeout = make_run(
        job=make_job(T=200),
        status="timeout",
        reason='stopped at "300 s", it had held 1 GiB',
        wall_s=(),
        num_warmup=None,
        peak_allocated_bytes=None,
    )
    return [make_run(), timeout]


@pytest.fixture
def store(tmp_path, runs):
    with Store(tmp_path / "runs.sqlite") as store:
        for run in runs:
            store.add(run)
        yield store


def test_csv_holds_every_fact(store, tmp_path, runs):
    store.export_csv(tmp_path / "runs.csv")
    with (tmp_path / "runs.csv").open(newline="") as file:
        ok, timeout = csv.DictReader(file)
    assert list(ok) == list(COLUMNS)
    assert tuple(json.loads(ok["wall_s"])) == runs[0].wall_s
    assert float(ok["median_s"]) == runs[0].median_s
    assert (float(ok["interval_low_s"]), float(ok["interval_high_s"])) == runs[0].interval_s
    assert json.loads(ok["target"]) == runs[0].job.target
    assert ok["T"] == "100"
    assert ok["fingerprint"] == runs[0].environment.fingerprint
    assert timeout["reason"] == runs[1].reason
    assert [timeout[name] for name in ("median_s", "peak_allocated_bytes", "num_warmup", "commit")] == [""] * 4


def test_parquet_holds_every_fact_with_its_type(store, tmp_path, runs):
    store.export_parquet(tmp_path / "runs.parquet")
    ok, timeout = parquet.read_table(tmp_path / "runs.parquet").to_pylist()
    assert list(ok) == list(COLUMNS)
    assert tuple(ok["wall_s"]) == runs[0].wall_s
    assert ok["memory_limit_bytes"] == runs[0].memory_limit_bytes
    assert ok["gpu_models"] == ["a GPU"]
    assert ok["num_repetitions"] == 6
    assert timeout["median_s"] is None
    assert timeout["wall_s"] == []


def test_an_empty_store_gives_a_table_of_no_rows(tmp_path):
    with Store(tmp_path / "empty.sqlite") as store:
        store.export_csv(tmp_path / "empty.csv")
        store.export_parquet(tmp_path / "empty.parquet")
    assert (tmp_path / "empty.csv").read_text().strip() == ",".join(COLUMNS)
    table = parquet.read_table(tmp_path / "empty.parquet")
    assert table.num_rows == 0
    assert table.column_names == list(COLUMNS)


def test_parquet_without_pyarrow_says_what_to_install(store, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="pip install 'seqcost\\[parquet\\]'"):
        store.export_parquet(tmp_path / "runs.parquet")


def test_an_export_that_breaks_off_leaves_the_old_file_whole(tmp_path, runs):
    def breaks_off():
        yield runs[0]
        raise RuntimeError("in the middle")

    (tmp_path / "runs.csv").write_text("the old table")
    with pytest.raises(RuntimeError, match="in the middle"):
        write_csv(breaks_off(), tmp_path / "runs.csv")
    assert [file.name for file in tmp_path.iterdir()] == ["runs.csv"]
    assert (tmp_path / "runs.csv").read_text() == "the old table"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_folder_that_does_not_exist_is_named(store, tmp_path, kind):
    with pytest.raises(BadTarget, match=r"cannot write .*/nowhere/runs"):
        getattr(store, f"export_{kind}")(tmp_path / "nowhere" / "runs")


ROWS = [
    {"name": "a", "small": 1, "large": 2**63 - 1, "huge": 5, "edge": 2**63, "unknown": None, "share": 0.5, "yes": True},
    {"name": "b", "small": None, "large": -(2**63), "huge": 10**64, "edge": 1, "unknown": None, "times": [0.5, 1.0]},
]


def test_plain_rows_keep_their_numbers_exact(tmp_path):
    write_rows(ROWS, tmp_path / "rows.parquet")
    table = parquet.read_table(tmp_path / "rows.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types == {
        "name": "string", "small": "int64", "large": "int64", "huge": "string", "edge": "string", "unknown": "int64",
        "share": "double", "yes": "bool", "times": "list<element: double>",
    }  # fmt: skip
    first, second = table.to_pylist()
    assert (first["huge"], int(second["huge"]), first["edge"]) == ("5", 10**64, "9223372036854775808")
    assert (first["large"], second["large"]) == (2**63 - 1, -(2**63))
    assert (first["times"], second["times"]) == (None, [0.5, 1.0])


def test_a_column_of_many_kinds_is_text(tmp_path):
    write_rows([{"size": 3}, {"size": "many"}, {"size": 0.5}, {"size": True}], tmp_path / "rows.parquet")
    rows = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    assert [row["size"] for row in rows] == ["3", "many", "0.5", "true"]


def test_plain_rows_without_pyarrow_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match="pip install 'seqcost\\[parquet\\]'"):
        write_rows(ROWS, tmp_path / "rows.parquet")
    assert list(tmp_path.iterdir()) == []
