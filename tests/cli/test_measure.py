"""`seqcost measure` from outside: a pipe, few columns, a killed run."""

import os
import signal
import subprocess
import sys
import time

import pytest

ASKED = ("rnn", "--width", "16", "--layers", "1", "--lengths", "8,32", "--processes", "2", "--retries", "0")


@pytest.fixture(autouse=True)
def wanted(monkeypatch):
    monkeypatch.setenv("SEQCOST_PROGRESS", "1")


@pytest.mark.slow
def test_a_line_a_job_then_the_answer_and_what_is_on_record_is_not_run_again(seqcost):
    ended = seqcost("measure", *ASKED)
    assert ended.code == 0, ended.err
    for number in (1, 2, 3, 4):
        assert f"seqcost: job {number} of 4: rnn, forward, B 1, T " in ended.err
    assert "measured on this machine" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    again = seqcost("measure", *ASKED, "--json")
    assert "job 1" not in again.err
    assert [point["num_processes"] for point in again.json["points"]] == [2, 2]
    assert again.json["points"][0]["interval_basis"] == "lowest to highest of 2 processes"
    assert seqcost("measure", *ASKED, "--csv").out.count("\n") == 3
    assert "2 processes" not in seqcost("results").out
    assert len(seqcost("results", "--json").json) == 4


@pytest.mark.slow
def test_a_killed_measurement_goes_on_where_it_stopped(seqcost, tmp_path):
    env = os.environ | {"SEQCOST_STORE": str(tmp_path / "runs.sqlite")}
    command = [sys.executable, "-m", "seqcost", "measure", *ASKED]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=env, text=True) as running:
        for line in running.stderr:
            if "job 1 of 4" in line:
                break
        running.send_signal(signal.SIGKILL)
    time.sleep(0.1)
    known = len(seqcost("results", "--json").json)
    assert 1 <= known < 4
    ended = seqcost("measure", *ASKED, "--json")
    assert [point["num_processes"] for point in ended.json["points"]] == [2, 2]
    assert len(seqcost("results", "--json").json) == 4
