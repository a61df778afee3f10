import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from seqcost.errors import BadTarget
from seqcost.measure import Limits, measure
from seqcost.measure.limits import MEMORY_SHARE, available_bytes
from seqcost.measure.runner import measure_each

MIB = 2**20
LIMITS = Limits(time_s=60, memory_bytes=2**31)


def run(job, limits=LIMITS, **options):
    return measure(job, limits, **{"loader": "loaders:of_kind", **options})


def test_a_good_run_has_times_memory_and_environment(make_job):
    num_bytes = 64 * MIB
    found = measure(make_job("adder", T=num_bytes // 4), LIMITS, loader="loaders:adder")
    assert (found.status, found.reason) == ("ok", None)
    assert len(found.wall_s) >= 5
    assert found.num_warmup >= 1
    assert found.interval_s[0] <= found.median_s <= found.interval_s[1]
    assert 1e-4 < found.median_s < 10
    # x, x + 1, and the 1: a float64 scalar of 8 bytes and its float32 copy of 4
    assert found.peak_allocated_bytes == 2 * num_bytes + 8 + 4
    growth_bytes = found.peak_resident_bytes - found.baseline_resident_bytes
    assert growth_bytes == pytest.approx(num_bytes, rel=0.1)
    assert found.environment.torch_version
    assert found.started_at.endswith("+00:00")
    assert (found.time_limit_s, found.memory_limit_bytes) == (60, 2**31)


def test_on_a_gpu_the_form_is_measured_that_is_counted(make_job):
    found = measure(dataclasses.replace(make_job(), device="cuda"), LIMITS, loader="loaders:names_the_kernels")
    assert found.reason == "while loading: ValueError: PyTorch: asked for"


def test_resident_memory_owes_nothing_to_the_caller(make_job):
    held = b"x" * (700 * MIB)  # ru_maxrss of a child starts at what its parent holds
    found = measure(make_job("adder", T=1000), LIMITS, loader="loaders:adder")
    assert found.peak_resident_bytes < len(held)


def test_too_long_a_run_is_stopped_and_says_where_the_limit_was(make_job):
    start_s = time.monotonic()
    found = run(make_job("sleeps", s=60), Limits(time_s=3, memory_bytes=2**31))
    assert time.monotonic() - start_s < 10
    assert found.status == "timeout"
    assert found.reason.startswith("stopped at the time limit of 3 s; it had held 0.")
    assert (found.wall_s, found.peak_allocated_bytes) == ((), None)
    assert found.peak_resident_bytes > 10 * MIB
    assert found.baseline_resident_bytes is None


@pytest.mark.parametrize("kind", ["holds memory", "child holds memory"])
def test_too_large_a_run_is_stopped_and_says_how_far_it_got(make_job, kind):
    found = run(make_job(kind), Limits(time_s=60, memory_bytes=700 * MIB))
    assert found.status == "memory"
    assert found.reason.startswith("stopped at the memory limit of 0.68 GiB: it held 0.")
    assert 700 * MIB < found.peak_resident_bytes < 1000 * MIB


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("loads badly", "failed", "while loading: ValueError: no such layer"),
        ("raises", "failed", "while running: KeyError: 'gate'"),
        ("leaves", "failed", "while running: SystemExit: 7"),
        ("exits", "failed", "the process ended with exit code 3 before it gave a result: last words"),
        ("crashes", "failed", "the process ended by SIGSEGV before it gave a result."),
        ("closes everything", "failed", "the process ended with exit code 0 before it gave a result."),
        ("memory error", "memory", "while running: MemoryError"),
        ("is killed", "memory", "killed by the system, most likely for want of memory; it held 0."),
        ("asks for too much", "memory", "while running: RuntimeError: DefaultCPUAllocator: can't allocate memory: you"),
    ],
)
def test_each_bad_end_is_told_in_one_sentence(make_job, kind, status, reason):
    found = run(make_job(kind))
    assert (found.status, found.reason[: len(reason)]) == (status, reason)
    assert "\n" not in found.reason
    assert "Traceback" not in found.reason


def test_a_loader_that_does_not_exist_is_told(make_job):
    found = run(make_job(), loader="loaders:missing")
    assert (found.status, found.reason.partition(" has ")[2]) == ("failed", "no attribute 'missing'")


@pytest.mark.parametrize("kind", ["prints", "reads input"])
def test_standard_streams_are_the_modules_own(make_job, kind):
    found = run(make_job(kind))
    assert (found.status, found.reason) == ("ok", None)


def test_times_outlive_a_recording_of_allocations_that_takes_too_long(make_job):
    found = run(make_job("slow while recorded"), Limits(time_s=5, memory_bytes=2**31))
    assert found.status == "ok"
    assert len(found.wall_s) >= 5
    assert found.peak_allocated_bytes is None
    assert found.reason.startswith("the peak of allocated memory is unknown: stopped at the time limit of 5 s")


def test_nothing_outlives_a_stopped_run(make_job, tmp_path):
    run(make_job("leaves child", file=str(tmp_path / "pid")), Limits(time_s=3, memory_bytes=2**31))
    child = int((tmp_path / "pid").read_text())
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_the_text_of_a_job_is_read_and_checked(make_job, tmp_path):
    text = tmp_path / "text"
    text.write_bytes(b"a short text")
    job = make_job(text_sha256=hashlib.sha256(b"a short text").hexdigest())
    assert run(job, text_path=text, loader="loaders:reads_text").status == "ok"
    with pytest.raises(BadTarget, match="give the path of its file"):
        run(job)
    with pytest.raises(BadTarget, match=r"cannot read the text .*: No such file"):
        run(job, text_path=tmp_path / "missing")
    text.write_bytes(b"another text")
    with pytest.raises(BadTarget, match="is not the text of the job"):
        run(job, text_path=text)


def test_default_limits_leave_a_share_of_memory():
    assert 0 < Limits().memory_bytes <= available_bytes() < psutil.virtual_memory().total
    assert Limits().memory_bytes == pytest.approx(MEMORY_SHARE * available_bytes(), rel=0.1)


@pytest.mark.parametrize("bad", [{"time_s": 0}, {"time_s": float("nan")}, {"memory_bytes": -1}])
def test_limits_that_allow_nothing_are_refused(bad):
    with pytest.raises(ValueError, match="limit is a number of"):
        Limits(**bad)


def test_the_worker_ends_when_its_parent_is_killed(tmp_path):
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from seqcost.measure import measure
from seqcost.records import Job
target = {{"kind": "leaves", "file": {str(tmp_path / "runs")!r}, "sleep_s": 60}}
measure(Job(target=target, phase="forward", B=1, T=1), loader="loaders:counts_runs")
"""
    with subprocess.Popen([sys.executable, "-c", script]) as parent:
        worker = wait_for(lambda: (tmp_path / "runs").exists() and (tmp_path / "runs").read_text())
        parent.kill()
    pid = int(worker.split()[1])
    assert wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def wait_for(condition, allowed_s=30):
    end_s = time.monotonic() + allowed_s
    while not (found := condition()):
        assert time.monotonic() < end_s, "waited too long"
        time.sleep(0.02)
    return found


def test_what_a_module_writes_to_the_pipe_of_the_answer_is_no_fact(make_job):
    found = run(make_job("writes to the pipe"))
    assert found.status == "ok"
    assert all(wall_s < 100 for wall_s in found.wall_s)


def test_a_death_by_a_signal_without_a_name_is_a_sentence(make_job):
    found = run(make_job("dies by a nameless signal"))
    assert found.status == "failed"
    assert found.reason.startswith(f"the process ended by signal {signal.SIGRTMIN + 3} before it gave a result")


def test_a_run_says_what_others_did_meanwhile(make_job):
    spin = "import time\nend = time.time() + 60\nwhile time.time() < end: pass"
    busy = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(2)]
    try:
        disturbed = run(make_job("adder", threads=os.cpu_count() or 1), loader="loaders:adder")
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert disturbed.other_cores > 0.4
    assert disturbed.is_disturbed
    assert not replace(disturbed, other_cores=0.1).is_disturbed
    assert not replace(disturbed, other_cores=None).is_disturbed
    on_many = replace(disturbed.environment, num_cores=64)
    assert not replace(disturbed, other_cores=3.0, environment=on_many, job=make_job(threads=8)).is_disturbed


def each(jobs, limits=LIMITS):
    return list(measure_each(jobs, limits, loader="loaders:says_which_process"))


def test_jobs_share_a_process_and_each_has_a_record_of_its_own(make_job, tmp_path):
    """The larger first: what it held is no part of the peak of the one after it."""
    jobs = [make_job(file=str(tmp_path / "processes"), T=T) for T in (300, 1)]
    runs = each(jobs)
    assert [run.job for run in runs] == jobs
    assert len(set((tmp_path / "processes").read_text().split())) == 1
    assert [run.peak_allocated_bytes for run in runs] == [300 * MIB, 1 * MIB]
    grown = [run.peak_resident_bytes - run.baseline_resident_bytes for run in runs]
    assert grown == pytest.approx([300 * MIB, 1 * MIB], abs=8 * MIB)
    assert runs[1].baseline_resident_bytes == pytest.approx(runs[0].baseline_resident_bytes, abs=20 * MIB)


@pytest.mark.parametrize(("how", "said"), [("raises_at", "too long for it"), ("dies_at", "exit code 3")])
def test_after_a_bad_end_the_next_job_has_a_process_of_its_own(make_job, tmp_path, how, said):
    jobs = [make_job(file=str(tmp_path / "processes"), T=T, **{how: 2}) for T in (1, 2, 3)]
    runs = each(jobs)
    assert [run.status for run in runs] == ["ok", "failed", "ok"]
    assert said in runs[1].reason
    first, second, third = (tmp_path / "processes").read_text().split()
    assert first == second != third


def test_the_limits_are_those_of_each_job(make_job, tmp_path):
    """Three jobs of three seconds and more each, together longer than one of them may take."""
    jobs = [make_job(file=str(tmp_path / "processes"), T=T, sleep_s=0.3) for T in (1, 2, 3)]
    runs = each(jobs, Limits(time_s=8, memory_bytes=2**31))
    assert [run.status for run in runs] == ["ok"] * 3
    too_large = [make_job(file=str(tmp_path / "processes"), T=T, sleep_s=0.1) for T in (1, 900, 2)]
    assert [run.status for run in each(too_large, Limits(time_s=60, memory_bytes=900 * MIB))] == ["ok", "memory", "ok"]


def test_a_reference_before_and_after_says_how_the_machine_was(make_job):
    found = measure(make_job("adder", T=1000), LIMITS, loader="loaders:adder")
    times_s = (*found.reference.product_s, *found.reference.add_s)
    assert all(1e-4 < time_s < 1 for time_s in times_s)
    assert found.other_cores_before >= 0


def test_where_the_system_keeps_the_peak_of_the_job_before_it_is_unknown(make_job, monkeypatch):
    """On a system that cannot forget: the worker sends none, and the record says why."""
    from seqcost.measure import runner

    class Worker:
        def __init__(self, environ):
            self.is_gone = False

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def ask(self, order, limits):
            facts = {"wall_s": [1.0], "peak_resident_bytes": None, "peak_allocated_bytes": 8}
            return runner.Answer(facts, highest_bytes=123)

    monkeypatch.setattr(runner, "Worker", Worker)
    monkeypatch.setattr(runner, "others_now", lambda: 0.0)
    found = measure(make_job(), LIMITS)
    assert (found.status, found.peak_resident_bytes) == ("ok", None)
    assert found.reason.startswith("the peak of resident memory is unknown: this system keeps")


def test_a_quiet_machine_is_waited_for_but_not_for_ever(make_job, monkeypatch):
    from seqcost.measure import runner

    looks = iter([1.9, 1.5, 0.1])
    monkeypatch.setattr(runner, "others_now", lambda: next(looks))
    where = dataclasses.replace(runner.this_environment(), num_cores=2)
    monkeypatch.setattr(runner, "this_environment", lambda: where)
    assert runner._cores_of_others(make_job(threads=2), 60) == 0.1
    looks = iter([1.9, 1.9])
    assert runner._cores_of_others(make_job(threads=2), 0) == 1.9
