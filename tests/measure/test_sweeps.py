import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from seqcost.errors import RunFailed
from seqcost.measure import Limits, sweep, sweeps
from seqcost.measure.turn import LOCK, turn
from seqcost.records import Run, Store, this_environment

LIMITS = Limits(time_s=60, memory_bytes=2**31)

pytestmark = pytest.mark.usefixtures("still_source")


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "runs.sqlite") as store:
        yield store


def stored(job, status, limits=LIMITS):
    return Run(
        job=job,
        environment=this_environment(),
        status=status,
        reason=None if status == "ok" else "an earlier end.",
        wall_s=(1.0,) if status == "ok" else (),
        started_at="2026-01-02T03:04:05+00:00",
        time_limit_s=limits.time_s,
        memory_limit_bytes=limits.memory_bytes,
    )


@pytest.fixture
def swept(make_job, store, monkeypatch):
    """Record of a job that would run well, and whether it was run; no process is started."""
    monkeypatch.setattr(sweeps, "measure", lambda job, limits, *_, **__: replace(stored(job, "ok"), wall_s=(2.0,)))

    def swept(**options):
        started = []
        (run,) = sweep([make_job("adder")], store, LIMITS, on_start=started.append, **options)
        assert run in store.runs()
        return run, bool(started)

    return swept


def test_jobs_are_run_in_order_stored_and_not_run_again(make_job, store):
    jobs = [make_job("adder", T=T) for T in (200, 100)]
    started, done = [], []
    runs = list(sweep(jobs, store, LIMITS, on_start=started.append, on_done=done.append, loader="loaders:adder"))
    assert started == [run.job for run in runs] == jobs
    assert done == runs == list(store.runs())
    assert all(run.status == "ok" for run in runs)
    again = list(sweep(jobs, store, LIMITS, on_start=started.append, on_done=done.append, loader="loaders:adder"))
    assert again == runs
    assert len(started) == len(done) == 2


def test_each_run_is_stored_before_the_next_one_starts(make_job, store):
    runs = sweep([make_job("adder", T=T) for T in (1, 2)], store, LIMITS, loader="loaders:adder")
    next(runs)
    assert len(list(store.runs())) == 1
    runs.close()


@pytest.mark.parametrize(
    ("status", "earlier", "is_run"),
    [
        ("ok", LIMITS, False),
        ("ok", replace(LIMITS, time_s=1), False),
        ("failed", LIMITS, True),
        ("timeout", LIMITS, False),
        ("timeout", replace(LIMITS, time_s=61), False),
        ("timeout", replace(LIMITS, memory_bytes=2**20), False),
        ("timeout", replace(LIMITS, time_s=59), True),
        ("memory", replace(LIMITS, memory_bytes=int(0.95 * 2**31)), False),
        ("memory", replace(LIMITS, time_s=1), False),
        ("memory", replace(LIMITS, memory_bytes=2**30), True),
    ],
)
def test_what_is_known_is_run_again_only_if_it_could_end_otherwise(make_job, store, swept, status, earlier, is_run):
    known = stored(make_job("adder"), status, earlier)
    store.add(known)
    run, was_run = swept()
    assert was_run == is_run
    assert (run == known) != is_run


def test_again_runs_what_is_known(make_job, store, swept):
    store.add(stored(make_job("adder"), "ok"))
    assert swept(again=True)[1]
    assert [run.wall_s for run in store.runs()] == [(1.0,), (2.0,)]


def test_a_run_of_another_environment_is_not_known(make_job, store, swept):
    store.add(replace(stored(make_job("adder"), "ok"), environment=replace(this_environment(), torch_version="1.0")))
    assert swept()[1]


SWEEP = """
import json, sys
from seqcost.measure import sweep
from seqcost.records import Job, Store, environment
environment._checkout = lambda: (None, None)
environment._source_sha256 = lambda: "0" * 32
path, loaders, *jobs = json.loads(sys.argv[1])
sys.path.insert(0, loaders)
with Store(path) as store:
    for run in sweep([Job(**job) for job in jobs], store, loader="loaders:counts_runs"):
        pass
"""


def test_a_killed_sweep_goes_on_where_it_stopped(make_job, store, tmp_path):
    counts, hold = tmp_path / "counts", tmp_path / "hold"
    hold.touch()
    jobs = [make_job(file=str(counts), hold=str(hold), T=T) for T in (1, 2, 3)]
    order = json.dumps([str(store.path), str(Path(__file__).parent), *(job.to_dict() for job in jobs)])
    with subprocess.Popen([sys.executable, "-c", SWEEP, order]) as process:
        end_s = time.monotonic() + 60
        while not (counts.exists() and "3 " in counts.read_text()):  # the third run, which holds, has begun
            assert process.poll() is None
            assert time.monotonic() < end_s
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert [run.job.T for run in store.runs()] == [1, 2]
    hold.unlink()
    started = []
    runs = list(sweep(jobs, store, LIMITS, on_start=started.append, loader="loaders:counts_runs"))
    assert started == jobs[2:]
    assert [(run.job.T, run.status) for run in runs] == [(1, "ok"), (2, "ok"), (3, "ok")]


def test_two_sweeps_at_once_take_turns_and_measure_each_job_once(make_job, store, tmp_path):
    """The second waits for the first, and then finds its runs in the store that they share."""
    counts, hold = tmp_path / "counts", tmp_path / "hold"
    hold.touch()
    jobs = [make_job(file=str(counts), hold=str(hold), T=T) for T in (3, 1)]
    order = json.dumps([str(store.path), str(Path(__file__).parent), *(job.to_dict() for job in jobs)])
    waited, started = [], []
    with subprocess.Popen([sys.executable, "-c", SWEEP, order]) as process:
        end_s = time.monotonic() + 60
        while not (counts.exists() and "3 " in counts.read_text()):
            assert process.poll() is None
            assert time.monotonic() < end_s
            time.sleep(0.02)

        def wait():
            waited.append(True)
            hold.unlink(missing_ok=True)

        runs = list(sweep(jobs, store, LIMITS, on_start=started.append, on_wait=wait, loader="loaders:counts_runs"))
    assert waited
    assert [(run.job.T, run.status) for run in runs] == [(3, "ok"), (1, "ok")]
    assert len(list(store.runs())) == 2
    assert jobs[0] not in started


def test_a_turn_ends_with_its_holder_and_needs_a_plain_file(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    waited = []
    with turn(lambda: waited.append(1)):
        pass
    with turn(lambda: waited.append(1)):
        assert not waited
    (tmp_path / LOCK).unlink()
    (tmp_path / LOCK).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunFailed, match="by which measurements take turns"), turn():
        pass
    assert not (tmp_path / "elsewhere").exists()
