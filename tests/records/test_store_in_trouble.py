"""A store that cannot be written, or not read whole: what was measured is not lost, and what is sound is read."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import pytest

from seqcost.errors import BadTarget, SeqcostWarning
from seqcost.records import Store, store


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))


@pytest.fixture
def path(tmp_path):
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs" / "runs.sqlite"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(store, "BUSY_S", 0.1)


def test_a_run_that_a_long_writer_keeps_out_is_written_beside_and_goes_in_later(path, make_run, impatient):
    with Store(path) as kept:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.warns(SeqcostWarning, match=r"the run is kept in .*runs\.sqlite\.waiting\.jsonl and goes into"):
            kept.add(make_run(wall_s=(1.0,)))
        assert path.with_name("runs.sqlite.waiting.jsonl").exists()
        other.execute("ROLLBACK")
        other.close()
        kept.add(make_run(wall_s=(2.0,)))
        assert [run.wall_s for run in kept.runs()] == [(1.0,), (2.0,)]
    assert [p.name for p in path.parent.iterdir()] == ["runs.sqlite"]


def test_what_was_written_beside_is_taken_in_when_the_store_is_opened_once_only(path, make_run):
    with Store(path) as kept:
        kept.add(make_run(wall_s=(1.0,)))
    spare = path.with_name("runs.sqlite.waiting.jsonl")
    known, new = (json.dumps(make_run(wall_s=(wall_s,)).to_dict()) for wall_s in (1.0, 2.0))
    spare.write_text(f"{known}\n{new}\n{new[:40]}")  # the last line was cut
    with Store(path) as kept:
        assert [run.wall_s for run in kept.runs()] == [(1.0,), (2.0,)]
    assert not spare.exists()


FULL = """
import json, resource, signal, sys, warnings
from dataclasses import replace
from seqcost.records import Run, Store
run = Run.from_dict(json.loads(sys.stdin.readline()))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
kept = Store(sys.argv[1])
size = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    for number in range(40):
        kept.add(replace(run, wall_s=(number + 1.0,)))
    kept.close()
print(json.dumps([str(w.message) for w in said]))
"""


@pytest.mark.parametrize("size", [64 * 1024, 0])
def test_a_full_disk_loses_no_run_silently(path, make_run, size):
    """A limit on the size of files stands for the disk: the store is refused at some run, at 0 the file beside too."""
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(path), str(size)],
        input=json.dumps(make_run().to_dict()) + "\n", capture_output=True, text=True, check=True, timeout=120,
        env=os.environ | {"TMPDIR": tempfile.gettempdir()},
    )  # fmt: skip
    said = json.loads(ended.stdout)
    with Store(path) as kept:
        found = sorted(run.wall_s[0] for run in kept.runs())
    lost = sum(int(text.split()[0]) for text in said if text.endswith("in this answer alone."))
    assert len(set(found)) == len(found)
    assert len(found) + lost == 40
    assert bool(found) == (size > 0)
    assert said


def test_odd_rows_are_passed_by_and_told(path, make_run, make_job, environment):
    with Store(path) as kept:
        for _ in range(5):
            kept.add(make_run())
    whole = make_run().to_dict()
    odd = [
        "no JSON", json.dumps(whole | {"from_a_later_version": 1}), json.dumps(whole | {"status": "asleep"}),
        json.dumps([1, 2]), json.dumps({key: value for key, value in whole.items() if key != "job"}),
        json.dumps(whole | {"job": {"target": 3}}), json.dumps(whole | {"wall_s": []}),
        json.dumps(whole | {"wall_s": 5}),
    ]  # fmt: skip
    raw = sqlite3.connect(path, isolation_level=None)
    key, fingerprint = make_job().key, environment.fingerprint
    for document in odd:
        raw.execute("INSERT INTO runs VALUES (NULL, ?, ?, 'ok', ?)", (key, fingerprint, document))
    raw.close()
    with Store(path) as kept:
        assert len(list(kept.runs())) == 5
        assert sorted(kept.odd_rows) == list(range(6, 6 + len(odd)))
        assert all(kept.odd_rows.values())
        assert kept.find(make_job(), environment) == make_run(), "the latest that is one"


def test_a_store_that_may_not_be_written_is_read(path, make_run, monkeypatch):
    with Store(path) as kept:
        kept.add(make_run())
    before = sorted(p.name for p in path.parent.iterdir())
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda p, mode: may(p, mode) and not (mode & os.W_OK and path.parent in (p, p.parent))
    )
    with Store(path) as kept:
        assert list(kept.runs()) == [make_run()]
        assert sorted(p.name for p in path.parent.iterdir()) == before
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            kept._insert([], [make_run()])


def test_memory_is_no_store(tmp_path):
    with pytest.raises(BadTarget, match="which keeps nothing; give the path of a file"):
        Store(":memory:")


KILLED = """
import json, sys
from seqcost.records import Run, Store
run = Run.from_dict(json.loads(sys.stdin.readline()))
with Store(sys.argv[1]) as kept:
    print("open", flush=True)
    for number in range(10**6):
        kept.add(run)
        print(number + 1, flush=True)
"""


@pytest.mark.slow
def test_forty_kills_in_the_middle_of_a_write_lose_nothing_that_was_said_to_be_kept(path, make_run):
    """Each at another moment of a write, into the same store, which stays whole."""
    expected = 0
    for kill in range(40):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as writer:
            writer.stdin.write(json.dumps(make_run().to_dict()) + "\n")
            writer.stdin.close()
            assert writer.stdout.readline() == "open\n"
            time.sleep(0.0007 * kill)
            os.kill(writer.pid, signal.SIGKILL)
            said = [int(line) for line in writer.stdout.read().split("\n") if line.strip()]
        expected += max(said, default=0)
    with Store(path) as kept:
        assert kept._pragma("integrity_check") == "ok"
        found = list(kept.runs())
    assert not kept.odd_rows
    assert expected <= len(found) <= expected + 40, "at most the run in flight of each"
    assert all(run == make_run() for run in found)
    assert not [p for p in path.parent.iterdir() if p.name.endswith((".part", ".jsonl"))]
