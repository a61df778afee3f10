import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from seqcost.errors import BadTarget
from seqcost.records import Best, Reference, Run, Store, default_path, pool


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new folder" / "runs.sqlite"


def test_what_is_added_comes_back_after_closing(path, make_run, make_job):
    runs = [make_run(), make_run(job=make_job(T=200), status="failed", reason="it raised.", wall_s=())]
    with Store(path) as store:
        for run in runs:
            store.add(run)
    with Store(path) as store:
        assert list(store.runs()) == runs
        assert list(store.runs(status="failed")) == runs[1:]
        assert list(store.runs(job=make_job())) == runs[:1]


def test_find_gives_the_latest_of_this_environment_that_did_not_fail(path, make_run, make_job, environment):
    elsewhere = replace(environment, machine_id="elsewhere")
    with Store(path) as store:
        assert store.find(make_job(), environment) is None
        store.add(make_run(wall_s=(1.0,)))
        store.add(make_run(status="timeout", reason="stopped.", wall_s=()))
        store.add(make_run(status="failed", reason="it raised.", wall_s=()))
        store.add(make_run(environment=elsewhere))
        assert store.find(make_job(), environment).status == "timeout"
        store.add(make_run(wall_s=(2.0,)))
        assert store.find(make_job(), environment).wall_s == (2.0,)
        assert store.find(make_job(T=200), environment) is None


def test_write_ahead_mode_is_on(path):
    with Store(path):
        reader = sqlite3.connect(path)
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        reader.close()


def test_others_read_while_one_writes(path, make_run):
    with Store(path) as writer, Store(path) as reader:
        writer.add(make_run())
        rows = reader.runs()
        assert next(rows) == make_run()
        writer.add(make_run())
        assert len(list(reader.runs())) == 2
        rows.close()


WRITER = """
import json, sys
from seqcost.records import Run, Store
run = Run.from_dict(json.loads(sys.stdin.readline()))
with Store(sys.argv[1]) as store:
    for count in range(1, int(sys.argv[2]) + 1):
        store.add(run)
        print(count, flush=True)
"""


def start_writer(path, run, num_runs):
    command = [sys.executable, "-c", WRITER, str(path), str(num_runs)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write(json.dumps(run.to_dict()) + "\n")
    process.stdin.close()
    return process


def test_a_killed_writer_loses_nothing_that_it_had_added(path, make_run):
    with start_writer(path, make_run(), 10**6) as process:
        while int(process.stdout.readline()) < 20:
            pass
        os.kill(process.pid, signal.SIGKILL)
        said = [int(line) for line in process.stdout.read().split("\n") if line]
    with Store(path) as store:
        runs = list(store.runs())
        assert len(runs) >= max(said, default=20)
        assert all(run == make_run() for run in runs)
        store.add(make_run())


CREATOR = """
import sys, time
from seqcost.records import Store
folder, start_s = sys.argv[1], float(sys.argv[2])
for number in range(40):
    while time.time() < start_s + number / 40:  # all meet at each store
        pass
    Store(f"{folder}/{number}.sqlite").close()
"""


def test_several_processes_may_create_one_store_at_once(tmp_path):
    command = [sys.executable, "-c", CREATOR, str(tmp_path), str(time.time() + 0.5)]
    creators = [subprocess.Popen(command) for _ in range(4)]
    assert [creator.wait(timeout=60) for creator in creators] == [0] * 4


def test_several_processes_may_write_at_once(path, make_run):
    writers = [start_writer(path, make_run(), 5) for _ in range(4)]
    for writer in writers:
        with writer:
            assert writer.stdout.read().split() == ["1", "2", "3", "4", "5"]
    with Store(path) as store:
        assert len(list(store.runs())) == 20


def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("not a database, and long enough to be read as one " * 10)
    with pytest.raises(BadTarget, match=r"notes.txt as a store of runs \(file is not a database\): give a path"):
        Store(text)
    assert text.read_text().startswith("not a database")


def test_a_database_of_another_program_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "other.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE runs (id INTEGER)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(BadTarget, match="is a SQLite file but not a store of seqcost"):
        Store(path)
    assert path.read_bytes() == before


def test_a_store_of_a_later_version_is_refused(path):
    Store(path).close()
    later = sqlite3.connect(path)
    with later:
        later.execute("UPDATE store SET version = 99")
    later.close()
    with pytest.raises(BadTarget, match="is a store of version 99 and this seqcost reads version 1"):
        Store(path)


@pytest.mark.parametrize("place", ["", "notes.txt/runs.sqlite"], ids=["folder", "under a file"])
def test_a_place_that_cannot_be_written_is_named_in_one_sentence(tmp_path, place):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(BadTarget, match=r"cannot use .* as a store of runs") as caught:
        Store(tmp_path / place)
    assert "\n" not in str(caught.value)


def test_default_path_is_the_variable_or_the_users_data_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQCOST_STORE", str(tmp_path / "mine.sqlite"))
    assert default_path() == tmp_path / "mine.sqlite"
    with Store() as store:
        assert store.path == tmp_path / "mine.sqlite"
    monkeypatch.delenv("SEQCOST_STORE")
    assert default_path().name == "runs.sqlite"
    assert "seqcost" in default_path().parts


def test_documents_in_a_store_of_version_1_stay_readable(make_run):
    # add a field to Run or Environment without a default and this fails: raise the store's version instead
    document = {
        "job": {
            "target": {"kind": "catalogue", "name": "lstm", "sizes": {"D": 256, "L": 2}}, "phase": "train", "B": 2,
            "T": 100, "dtype": "float32", "device": "cpu", "threads": 1, "text_sha256": None,
        },
        "environment": {
            "machine_id": "0123456789ab", "cpu_model": "a processor", "num_cores": 2, "memory_bytes": 25769803776,
            "gpu_models": ["a GPU"], "os": "Linux 6.1 x86_64", "python_version": "3.11.7", "torch_version": "2.13.0",
            "numpy_version": "2.4.6", "seqcost_version": "0.1.0", "commit": None, "dirty": None,
            "source_sha256": "00000000000000000000000000000000",
        },
        "status": "ok", "reason": None, "wall_s": [0.5, 0.25], "num_warmup": 2, "peak_allocated_bytes": 1000,
        "peak_resident_bytes": 3000, "baseline_resident_bytes": 2000, "started_at": "2026-01-02T03:04:05+00:00",
        "time_limit_s": 300.0, "memory_limit_bytes": 17179869184,
    }  # fmt: skip
    assert Run.from_dict(document) == make_run(wall_s=(0.5, 0.25))


WRITTEN_BEFORE = """{"job": {"target": {"kind": "catalogue", "name": "rnn", "sizes": {"D": 256, "L": 2}},
"phase": "forward", "B": 1, "T": 1024, "dtype": "float32", "device": "cpu", "threads": 2, "text_sha256": null},
"environment": {"machine_id": "0123456789ab", "cpu_model": "AMD EPYC", "num_cores": 2, "memory_bytes": 25276502016,
"gpu_models": [], "os": "Linux", "python_version": "3.11.7", "torch_version": "2.13.0", "numpy_version": "2.4.6",
"seqcost_version": "0.1.0", "commit": null, "dirty": null, "source_sha256": "2eadc4214913b70588f857eb546aead5"},
"status": "ok", "reason": null, "wall_s": [0.0245, 0.0241, 0.0237, 0.0238, 0.0236], "num_warmup": 2,
"peak_allocated_bytes": 6566912, "peak_resident_bytes": 410730496, "baseline_resident_bytes": 397021184,
"other_cores": 0.0, "started_at": "2026-11-26T22:39:48+00:00", "time_limit_s": 300.0, "memory_limit_bytes": 19554258124
}"""


def test_what_was_written_before_there_was_a_reference_is_read_and_pooled(path, make_run):
    """A row as the version before wrote it, beside one of today; what it did not know is unknown, not 0."""
    Store(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute(
            "INSERT INTO runs (job_key, fingerprint, status, document) VALUES (?, ?, ?, ?)",
            ("key", "fingerprint", "ok", WRITTEN_BEFORE),
        )
    raw.close()
    with Store(path) as store:
        (old,) = store.runs()
        assert (old.median_s, old.reference, old.other_cores_before, old.is_disturbed) == (0.0238, None, None, False)
        store.add(replace(old, wall_s=(0.03,), reference=Reference((1e-3, 1e-3), (2e-3, 2e-3))))
        both = list(store.runs())
        assert pool(both).num_processes == 2
        assert store.odd_rows == {}


def test_the_best_reference_is_of_this_machine_these_threads_and_this_pytorch(path, make_run, make_job, environment):
    def run(product_s, add_s=(5.0, 5.0), *, threads=1, **elsewhere):
        where = replace(environment, **elsewhere)
        return make_run(job=make_job(threads=threads), environment=where, reference=Reference(product_s, add_s))

    with Store(path) as store:
        assert store.best_reference(environment, 1) is None
        store.add(make_run())
        assert store.best_reference(environment, 1) is None, "no reference is no best"
        for made in (run((3.0, 2.0)), run((4.0, 4.0), (5.0, 1.0), source_sha256="1" * 32), run((9.0, 9.0))):
            store.add(made)
        store.add(run((0.1, 0.1), threads=2))
        store.add(run((0.1, 0.1), machine_id="elsewhere"))
        store.add(run((0.1, 0.1), torch_version="2.12.0"))
        store._connection.execute(
            "INSERT INTO runs (job_key, fingerprint, status, document) VALUES ('a', 'b', 'ok', 'no JSON')"
        )
        assert store.best_reference(environment, 1) == Best(product_s=2.0, add_s=1.0)
