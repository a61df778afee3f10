"""A limit of time: the answer is held against `predict` on both sides of it, and what binds is said."""

from functools import partial

import pytest
import toy_machine

from seqcost import fit as fit_and_try
from seqcost import predict
from seqcost.errors import BadMachine, BadSize
from seqcost.questions.answers.fit import MEMORY, TIME
from seqcost.questions.asked.request import Request
from seqcost.questions.fitting.clock import Clock
from seqcost.questions.fitting.remedies import remedies
from seqcost.questions.fitting.setup import Setup
from seqcost.questions.fitting.solver import Solver
from seqcost.questions.targets.resolve import resolve

fit = partial(fit_and_try, remedies=False)
SIZES = {"D": 32, "L": 2, "U": 64}
TOY = toy_machine.machine()


def words(found):
    return " ".join(str(found).split())


def seconds(length, *, phase="train", name="transformer", batch=None, sizes=SIZES):
    return predict(name, machine=TOY, length=length, batch=batch, phase=phase, sizes=sizes).seconds


@pytest.mark.parametrize(
    ("name", "phase", "time"),
    [("transformer", "train", 0.05), ("gru", "forward", 0.5), ("transformer", "decode", 1e-3)],
)
def test_the_size_is_in_time_and_the_next_is_not(name, phase, time):
    sizes = SIZES if name == "transformer" else {"D": 32, "L": 2}
    found = fit(name, time=time, machine=TOY, phase=phase, sizes=sizes)
    at = partial(seconds, name=name, phase=phase, sizes=sizes)
    assert found.bound == TIME
    assert at(found.size).mid <= time < at(found.largest.next_size).mid
    assert found.largest.next_size == found.size + 1
    assert at(found.timing.careful).high <= time < at(found.timing.careful + 1).high
    assert at(found.timing.hopeful).low <= time < at(found.timing.hopeful + 1).low
    assert found.timing.careful < found.size < found.timing.hopeful
    told = found.to_dict()
    assert told["time"]["seconds"]["mid"] == pytest.approx(at(found.size).mid)
    assert told["bound"] == "time"
    assert told["peak_bytes"] == fit(name, machine=TOY, phase=phase, sizes=sizes, length=found.size).asked.peak_bytes


def test_the_tighter_limit_binds_and_no_answer_goes_beyond_the_memory():
    by_memory = fit("transformer", memory="64MiB", sizes=SIZES)
    slack = seconds(by_memory.size).mid
    found = fit("transformer", memory="64MiB", time=1.01 * slack, machine=TOY, sizes=SIZES)
    assert (found.bound, found.size) == (MEMORY, by_memory.size)
    assert found.timing.hopeful == by_memory.size > found.timing.careful
    assert "the time does not bind" in words(found)
    assert not any("only grow" in note for note in found.notes)
    found = fit("transformer", memory="64MiB", time=0.5 * slack, machine=TOY, sizes=SIZES)
    assert found.bound == TIME
    assert found.size < by_memory.size
    assert "the time binds" in words(found)


def test_other_sizes_than_the_length():
    found = fit("transformer", time="100ms", machine=TOY, find="batch", length=64, sizes=SIZES)
    assert seconds(64, batch=found.size).mid <= 0.1 < seconds(64, batch=found.size + 1).mid
    found = fit("transformer", time="100ms", machine=TOY, find="L", length=64, sizes={"D": 32, "U": 64})
    at = [seconds(64, sizes=SIZES | {"L": found.size + more}).mid for more in (0, 1)]
    assert at[0] <= 0.1 < at[1]


def test_a_trace_is_timed_too():
    torch = pytest.importorskip("torch")
    found = fit(torch.nn.Linear(64, 64), time="20ms", machine=TOY, phase="forward")
    assert found.rung != "formula"
    assert found.timing.seconds.mid <= 0.02 < found.timing.next_seconds.mid


def test_a_size_that_was_asked_about_is_in_time_or_not():
    least = seconds(256).mid
    for time, fits in ((2 * least, True), (least / 2, False)):
        asked = fit("transformer", time=time, machine=TOY, sizes=SIZES, length=256).asked
        assert (asked.fits, asked.seconds) == (fits, pytest.approx(least))


def test_remedies_reach_as_far_as_both_limits():
    """And a model that is faster carries what is too slow, whatever memory it takes."""
    found = fit_and_try("transformer", memory="1GiB", time="30ms", machine=TOY, sizes=SIZES, phase="forward")
    assert found.bound == TIME
    (window,) = (one for one in found.trials.tried if one.names == ("window attention",))
    assert window.size > found.size
    (remedy,) = (remedy for remedy in remedies(accelerator=False) if remedy.name == "window attention")
    setup = Setup(subject=resolve("transformer", SIZES), request=Request.of(phase="forward"))
    solver = Solver(remedy.apply(setup), "length")
    now, then = (Clock(TOY).seconds(solver.look(T), solver.at(T)).mid for T in (window.size, window.size + 1))
    assert now <= 0.03 < then
    assert "has no peak for bfloat16" in dict(found.trials.left_out)["bfloat16"]


def test_a_machine_that_was_never_calibrated_is_held_against_its_prior(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQCOST_STORE", str(tmp_path / "runs.sqlite"))
    found = fit("transformer", time="1s", sizes=SIZES)
    assert found.timing.machine == "here@2026"
    assert any("never calibrated" in note for note in found.notes)
    own = predict("transformer", length=found.size, phase="train", sizes=SIZES).seconds
    assert found.timing.seconds.mid == pytest.approx(own.mid)


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ({"time": 0}, BadSize, r"time = 0 was given; a time above 0 with a unit"),
        ({"time": "24GiB"}, BadSize, "time = '24GiB' was given"),
        ({"time": float("nan")}, BadSize, "time = nan was given"),
        (
            {"time": "1us"},
            BadSize,
            r"time = 1 µs was given, and T = 1 of transformer takes .* as predicted for toy@2026",
        ),
        ({"time": "1us", "find": "L"}, BadSize, "L = 1 of transformer takes"),
        ({"time": "1s", "dtype": "float64"}, BadMachine, "toy has no peak for float64"),
    ],
)
def test_bad_input_is_one_sentence(asked, error, sentence):
    with pytest.raises(error, match=sentence):
        fit("transformer", machine=TOY, sizes={"D": 32}, **asked)
