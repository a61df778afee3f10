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
def swept(make_job, store, tmp_path, monkeypatch):
    """Record of a job that would run well, and whether it was run; no process is started."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(
        sweeps, "measure_each", lambda jobs, *_, **__: (replace(stored(job, "ok"), wall_s=(2.0,)) for job in jobs)
    )

    def swept(**options):
        started = []
        (pooled,) = sweep([make_job("adder")], store, LIMITS, on_start=started.append, **options)
        (run,) = pooled.runs
        assert run in store.runs()
        return run, bool(started)

    return swept


@pytest.fixture
def scripted(make_job, store, tmp_path, monkeypatch):
    """Sweep jobs of which each run ends as told, in its order: (median, cores that others keep busy) or a status.

    Gives the records, the positions of the jobs in the order in which they ran, and what `on_done` was told.
    """
    here = replace(this_environment(), num_cores=1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # nothing runs: whoever measures on this machine may go on
    monkeypatch.setattr(sweeps, "this_environment", lambda: here)

    def scripted(*ends, **options):
        jobs = [make_job("scripted", T=T) for T, _ in enumerate(ends, 1)]
        left, order, done = [list(of_one) for of_one in ends], [], []

        def measure_each(asked, *_, **__):
            for job in asked:
                order.append(jobs.index(job))
                end = left[order[-1]].pop(0)
                run = replace(stored(job, end if isinstance(end, str) else "ok"), environment=here)
                if not isinstance(end, str):
                    run = replace(run, wall_s=end[:1], other_cores=end[1])
                yield replace(run, started_at=f"run {len(list(store.runs()))}")

        monkeypatch.setattr(sweeps, "measure_each", measure_each)
        return sweep(jobs, store, LIMITS, on_done=done.append, **options), order, done

    return scripted


def test_jobs_are_run_in_order_stored_and_not_run_again(make_job, store):
    jobs = [make_job("adder", T=T) for T in (200, 100)]
    started, done = [], []
    found = sweep(jobs, store, LIMITS, retries=0, on_start=started.append, on_done=done.append, loader="loaders:adder")
    assert [pooled.job for pooled in found] == jobs
    assert started == jobs[::-1], "of one target the shortest first"
    assert [one.run for one in done] == list(store.runs())
    assert [(one.number, one.of) for one in done] == [(1, 2), (2, 2)]
    assert all(pooled.status == "ok" and pooled.num_processes == 1 for pooled in found)
    again = sweep(jobs, store, LIMITS, retries=0, on_start=started.append, on_done=done.append, loader="loaders:adder")
    assert again == found
    assert len(started) == len(done) == 2


def test_each_run_is_stored_before_the_next_one_starts(make_job, store):
    before = []
    jobs = [make_job("adder", T=T) for T in (1, 2)]
    sweep(
        jobs,
        store,
        LIMITS,
        retries=0,
        on_start=lambda _: before.append(len(list(store.runs()))),
        loader="loaders:adder",
    )
    assert before == [0, 1]


def test_rounds_go_over_all_jobs_before_one_is_run_again(scripted):
    (first, second), order, _ = scripted([(1.0, 0), (2.0, 0), (9.0, 0)], [(4.0, 0)] * 3, processes=3)
    assert order == [0, 1] * 3
    assert (first.num_processes, first.median_s, first.interval_s) == (3, 2.0, (1.0, 9.0))
    assert (second.num_processes, second.interval_s) == (3, (4.0, 4.0))


def test_a_disturbed_run_is_repeated_at_once_and_left_out_if_that_helps(scripted, store):
    (pooled, other), order, done = scripted([(9.0, 1), (1.0, 0), (2.0, 0)], [(4.0, 0)] * 2, processes=2)
    assert order == [0, 1, 0, 0, 1]
    assert (pooled.num_processes, pooled.median_s, pooled.is_disturbed) == (2, 1.5, False)
    assert [one.again for one in done] == [True, False, False, False, False]
    assert [(one.number, one.of) for one in done] == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert len(list(store.runs())) == 5
    assert not other.is_disturbed


def test_what_stays_disturbed_is_given_up_and_marked(scripted):
    (pooled,), order, done = scripted([(9.0, 1)] * 6, processes=2)
    assert order == [0] * 6
    assert (pooled.is_disturbed, pooled.other_cores) == (True, 1)
    assert [one.again for one in done] == [True, True, False] * 2
    (known,), order, _ = scripted([(9.0, 1)] * 6, processes=2)
    assert (order, known) == ([], pooled), "a machine that is always busy is not measured for ever"


def test_no_retries_are_no_repetitions(scripted):
    assert scripted([(9.0, 1)] * 2, processes=2, retries=0)[1] == [0, 0]


@pytest.mark.parametrize("status", ["timeout", "memory", "failed"])
def test_an_end_at_a_limit_or_in_an_error_is_enough(scripted, status):
    (pooled,), order, _ = scripted([status], processes=3)
    assert (order, pooled.status, pooled.num_processes) == ([0], status, 0)


def test_further_processes_join_those_that_are_known_unless_measured_again(scripted):
    scripted([(1.0, 0), (2.0, 0)], processes=2)
    (pooled,), order, done = scripted([(3.0, 0)] * 3, processes=5)
    assert (order, pooled.num_processes, pooled.median_s) == ([0] * 3, 5, 3.0)
    assert [(one.number, one.of) for one in done] == [(1, 3), (2, 3), (3, 3)]
    (anew,), order, _ = scripted([(4.0, 0)], processes=1, again=True)
    assert (order, anew.num_processes, anew.median_s) == ([0], 1, 4.0)


def test_runs_that_no_store_takes_are_in_the_answer(scripted, store, monkeypatch):
    monkeypatch.setattr(store, "add", lambda run: None)
    (pooled,), order, _ = scripted([(1.0, 0), (2.0, 0)], processes=2)
    assert (order, pooled.num_processes) == ([0, 0], 2)


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
    sweep([Job(**job) for job in jobs], store, retries=0, loader="loaders:counts_runs")
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
    found = sweep(jobs, store, LIMITS, retries=0, on_start=started.append, loader="loaders:counts_runs")
    assert started == jobs[2:]
    assert [(pooled.job.T, pooled.status) for pooled in found] == [(1, "ok"), (2, "ok"), (3, "ok")]


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

        found = sweep(
            jobs, store, LIMITS, retries=0, on_start=started.append, on_wait=wait, loader="loaders:counts_runs"
        )
    assert waited
    assert [(pooled.job.T, pooled.status) for pooled in found] == [(3, "ok"), (1, "ok")]
    assert len(list(store.runs())) == 2
    assert started == []


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
