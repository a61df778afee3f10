"""The question `measure`, of runs that end as told: no process is started."""

import json
from dataclasses import replace

import pytest
import toy_machine

from seqcost.errors import BadTarget, UnknownName
from seqcost.measure import sweeps
from seqcost.questions.answers.measurement import Forecast
from seqcost.questions.measure import measure
from seqcost.questions.predict import predict
from seqcost.records import Reference, Run, this_environment
from seqcost.report.measurements import done_text, sentences, span, tables

SECONDS = {("rnn", 64): 1e-3, ("rnn", 256): 9e-3, ("lstm", 64): 2e-3, ("lstm", 256): 3e-3}


@pytest.fixture
def told(tmp_path, monkeypatch):
    """Ask of a machine on which runs take what they are told to, times a factor a process."""
    here = this_environment()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # nothing runs: whoever measures on this machine may go on

    def asked(
        targets=("rnn", "lstm"), *, factors=(1.0, 1.02, 0.98), busy=0.0, reference=1e-3, takes=SECONDS, **options
    ):
        left = {}

        def measure_each(jobs, *_, **__):
            for job in jobs:
                factor = left.setdefault(job.key, list(factors)).pop(0)
                seconds = takes[job.target["name"], job.T] * factor
                yield Run(
                    job=job, environment=here, status="ok", wall_s=(seconds,) * 5, peak_allocated_bytes=1000 * job.T,
                    other_cores=busy, reference=Reference((reference * factor,) * 2, (1e-3,) * 2),
                    started_at=f"run {factor}", time_limit_s=1, memory_limit_bytes=1,
                )  # fmt: skip

        monkeypatch.setattr(sweeps, "measure_each", measure_each)
        given = {"lengths": "64,256", "sizes": {"D": 8, "L": 1}, "store": tmp_path / "runs.sqlite", "retries": 0}
        return measure(list(targets), **given | {"processes": len(factors), "threads": 1} | options)

    monkeypatch.setattr(sweeps, "this_environment", lambda: here)
    monkeypatch.setattr("seqcost.questions.measure.this_environment", lambda: here)
    return asked


def test_a_record_a_target_and_length_and_the_crossover_between_them(told):
    answer = told()
    assert [(p.target, p.length, p.run.num_processes) for p in answer.points] == [
        ("rnn", 64, 3), ("rnn", 256, 3), ("lstm", 64, 3), ("lstm", 256, 3),
    ]  # fmt: skip
    (crossed,) = answer.crossovers
    assert (crossed.quantity, crossed.rising, crossed.other, crossed.low, crossed.high) == (
        "time",
        "rnn",
        "lstm",
        64,
        256,
    )
    said = sentences(answer.to_dict())
    assert said[0] == ("measured time: rnn costs least at first, lstm from T = 256 on, of the lengths 64 to 256.")
    assert "rnn over lstm" in str(answer)
    assert json.loads(json.dumps(answer.to_dict()))["crossovers"][0]["untold"] == []
    assert len(answer.to_dict()["runs"]) == 12
    assert answer.to_csv().splitlines()[0].startswith("target,T,B,status,num_processes,median_s,interval_s")
    assert "<table>" in answer._repr_html_()


def test_how_far_one_process_more_would_stray_is_said(told):
    answer = told(factors=(1.0, 1.02, 0.98))
    strays = sorted([0.0, 1.02 / 0.99 - 1, 1 - 0.98 / 1.01] * 4)
    assert answer.floor == {
        "median": pytest.approx(strays[6], rel=0.1),
        "p90": pytest.approx(0.0303, abs=1e-4),
        "num_runs": 12,
    }
    assert "One process more would stray from these times by 3 % at the median, 3 % at the 90th" in str(answer)
    assert told(factors=(1.0,), again=True).floor is None
    assert told(busy=9.0, again=True).floor is None


def test_a_crossover_within_the_spread_is_not_told_apart(told):
    answer = told(factors=(1.0, 4.0, 0.25))
    assert answer.crossovers == ()
    (table,) = (table for table in tables(answer.to_dict()) if table.title.startswith("crossovers"))
    row = ("measured time", "rnn and lstm", "—", "not told apart between 64 and 256 tokens: their intervals meet")
    assert row in table.rows
    assert sentences(answer.to_dict())[0].startswith("measured time: rnn and lstm are not told apart at any of the")


def test_one_process_says_that_it_gives_no_interval(told):
    answer = told(factors=(1.0,))
    assert [c for c in answer.crossovers if c.quantity == "time"] == []
    text = str(answer)
    assert "One process gives no interval" in text
    assert "costs least" not in text.split("One process")[0].replace("measured peak", "")


def test_a_busy_machine_is_marked_and_said_in_a_sentence(told):
    answer = told(busy=float(this_environment().num_cores))
    (runs, *_) = tables(answer.to_dict())
    assert [row[2].endswith("*") for row in runs.rows] == [True] * 4
    assert any("(marked *): their times are too long" in sentence for sentence in sentences(answer.to_dict()))


def test_the_neighbours_share_is_beside_each_run_and_a_large_one_in_a_sentence(told):
    told(factors=(1.0,))
    answer = told(factors=(1.0,), reference=2e-3, again=True)
    assert [point.reference_ratio for point in answer.points] == [2.0] * 4
    assert any("took up to 2.0 times their best" in sentence for sentence in sentences(answer.to_dict()))


def test_what_was_predicted_stands_beside_what_ran(told, monkeypatch):
    def forecast(subject, request, machine):
        return None if request.T == 64 else Forecast(4e-3, 5e-3, 6e-3, 1000 * request.T)

    monkeypatch.setattr("seqcost.questions.measure._forecast", forecast)
    answer = told(machine=toy_machine.machine())
    rnn, lstm = (answer.of(name)[1] for name in ("rnn", "lstm"))
    assert (rnn.ratio, rnn.peak_ratio, rnn.is_outside) == (pytest.approx(1.8), 1.0, True)
    assert (lstm.ratio, lstm.is_outside) == (pytest.approx(0.6), True)
    assert (answer.points[0].ratio, answer.points[0].is_outside) == (None, None)
    (runs, *_) = tables(answer.to_dict())
    assert runs.headings[3:8] == ("interval", "predicted", "ratio", "peak", "of predicted")
    assert runs.rows[1][4:8] == ("4–6 ms", "1.80!", "250 KiB", "1.000")
    assert runs.rows[0][4:6] == ("—", "—")
    assert any(s.startswith("2 of 2 runs lie wholly outside") for s in sentences(answer.to_dict()))
    monkeypatch.setattr("seqcost.questions.measure._forecast", lambda *_: Forecast(1e-3, 2e-3, 8.9e-3))
    near = told(machine=toy_machine.machine())
    assert [point.is_outside for point in near.points] == [False] * 4
    assert "!" not in str(near)


def test_the_forecast_is_that_of_predict_and_a_format_without_a_peak_has_none(told):
    toy = toy_machine.machine()
    point = told(machine=toy).of("rnn")[0]
    found = predict("rnn", machine=toy, length=64, sizes={"D": 8, "L": 1})
    assert point.predicted == Forecast(found.seconds.low, found.seconds.mid, found.seconds.high, found.peak_bytes)
    assert told(machine=toy, dtype="bfloat16").points[0].predicted is None


def test_a_run_without_times_has_no_ratio(told):
    answer = told()
    point = answer.points[0]
    stopped = replace(point.run.runs[0], status="timeout", reason="stopped.", wall_s=())
    ended = replace(point, run=replace(point.run, runs=(stopped,)), predicted=Forecast(1, 2, 3))
    assert (ended.ratio, ended.is_outside) == (None, None)
    assert "timeout" in str(replace(answer, points=(ended,)))


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(0.0119, 0.0128, "11.9–12.8 ms"), (4.65e-4, 0.0239, "0.465–23.9 ms"), (1, 100, "1–100 s"), (2e-6, 2e-6, "2–2 µs")],
)
def test_an_interval_is_in_one_unit(low, high, text):
    assert span(low, high) == text


def test_what_cannot_be_sent_to_another_process_is_refused(told):
    import torch

    with pytest.raises(BadTarget, match="cannot be sent to another process"):
        told([torch.nn.Linear(8, 8)], sizes={})
    with pytest.raises(UnknownName, match="unknown size of rnn, lstm 'heads'"):
        told(sizes={"heads": 3})


def test_a_crossover_is_confirmed_by_measuring_around_it(told):
    """9 T² against 1000 T: they cross at 111; each look halves the distance of the lengths around it."""
    takes = {("rnn", T): 9e-9 * T**2 for T in range(64, 257)} | {("lstm", T): 1e-6 * T for T in range(64, 257)}
    wide = told(takes=takes).crossovers[0]
    once = told(takes=takes, refine=1)
    assert [point.length for point in once.of("rnn")] == [64, 128, 256]
    fine = told(takes=takes, refine=9)
    (found,) = (c for c in fine.crossovers if c.quantity == "time")
    assert (wide.low, wide.high) == (64, 256)
    assert wide.length_low <= found.length_low < 111.1 < found.length_high <= wide.length_high
    assert found.high - found.low < 20
    assert all(abs(T / 111 - 1) < 0.05 for T in found.untold), "what is left is within the spread of the processes"
    assert fine.lengths == (64, 256)
    assert str(fine)


def test_what_crosses_nothing_is_not_refined(told):
    assert len(told(["rnn"], refine=3).points) == 2
    assert len(told(factors=(1.0, 4.0, 0.25), refine=3).points) == 4


def test_a_run_that_has_ended_is_one_line(told):
    done = []
    told(["rnn"], factors=(1.0,), on_done=done.append)
    assert done_text(done[1]) == "job 2 of 2: rnn, forward, B 1, T 256, float32 on cpu, 1 thread: 9 ms, peak 250 KiB"
    busy = replace(done[1], run=replace(done[1].run, other_cores=9.0), again=True)
    assert done_text(busy).endswith("9 ms, peak 250 KiB, others kept 9 cores busy: again")
    stopped = replace(busy.run, status="timeout", reason="stopped at the limit.", wall_s=(), peak_allocated_bytes=None)
    assert done_text(replace(busy, run=stopped)).endswith("thread: stopped at the limit")
