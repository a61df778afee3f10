"""Predictions from outside: any target that count takes, any machine, and what they say of themselves."""

from dataclasses import asdict

import pytest
import torch
from toy_machine import launched_apart, machine, value

import seqcost
from seqcost.errors import BadMachine, BadSize, BadTarget, UnknownName
from seqcost.questions.asked.machine import machine_in
from seqcost.questions.targets.resolve import resolve
from seqcost.questions.targets.subject import SHORT

TOY = machine()


def predicted(target="transformer-block", *, on=TOY, **asked):
    return seqcost.predict(target, machine=on, **{"length": 32, "sizes": {"D": 64}} | asked)


@pytest.mark.parametrize("phase", ["forward", "train", "prefill", "decode"])
def test_each_phase_has_an_interval_and_a_peak(phase):
    found = predicted(phase=phase)
    assert 0 < found.seconds.low < found.seconds.mid < found.seconds.high
    assert found.peak_bytes == seqcost.count("transformer-block", length=32, sizes={"D": 64}, phase=phase).peak_bytes
    assert found.fits is True


def test_formula_and_trace_of_a_layer_take_the_same_time():
    """Rows agree launch by launch, so what they take does."""
    formula, trace = predicted("rnn-layer"), predicted("rnn-layer", trace=True)
    assert formula.timed.device_s == pytest.approx(trace.timed.device_s, rel=1e-6)
    assert formula.timed.host_s == pytest.approx(trace.timed.host_s, rel=1e-6)


@pytest.mark.parametrize("phase", ["forward", "train", "decode"])
@pytest.mark.parametrize("target", ["transformer-block", "rnn-layer"])
def test_a_formula_has_the_views_and_calls_of_its_trace(target, phase):
    """By a short run of the layer; where the trace of a loop ran a few tokens more, nearly so."""
    asked = {"length": SHORT, "sizes": {"D": 64}, "phase": phase}
    subject = resolve(target, {"D": 64}, None)
    of_formula = subject.beside(seqcost.count(target, **asked))
    of_trace = subject.beside(seqcost.count(target, trace=True, **asked))
    assert asdict(of_formula) == pytest.approx(asdict(of_trace), rel=0.04)
    assert of_formula.modules > 0


def test_views_and_calls_do_not_depend_on_what_was_asked_before():
    def beside(*lengths):
        subject = resolve("rnn-layer", {"D": 64}, None)
        return [subject.beside(seqcost.count("rnn-layer", length=T, sizes={"D": 64})) for T in lengths][-1]

    assert beside(1, 16) == beside(16)
    assert beside(16, 1024) == beside(1024) == beside(SHORT)


def test_a_machine_that_knows_their_cost_takes_views_and_calls_into_account():
    """Of formula and trace alike; one that knows launches alone asks for no trace."""
    apart = launched_apart()
    formula, trace = predicted(on=apart), predicted(on=apart, trace=True)
    assert formula.timed.host_s == pytest.approx(trace.timed.host_s, rel=1e-6)
    launches = sum(row.launches for row in formula.count.rows)
    beside = resolve("transformer-block", {"D": 64}, None).beside(formula.count)
    each = (1 - beside.inner) * (1e-6 + beside.views_forward * 1e-7) + beside.modules * 1e-5
    assert formula.timed.host_s == pytest.approx(launches * each)


def test_a_live_module_is_predicted_at_its_inputs():
    module = torch.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    found = seqcost.predict(module, inputs=(torch.zeros(2, 9, 32),), machine=TOY)
    assert (found.count.sizes["B"], found.count.sizes["T"]) == (2, 9)
    assert found.seconds.mid > 0


def test_several_lengths_give_a_list_that_grows():
    times = [found.seconds.mid for found in predicted(length="32..512")]
    assert len(times) == 5
    assert times == sorted(times)


def test_a_machine_too_small_is_said_to_be():
    small = predicted(on=machine(memory=value(1000, "B")))
    assert small.fits is False
    assert small.bound == "capacity"
    assert "does not fit" in str(small)


def test_what_a_machine_keeps_for_itself_is_part_of_the_peak():
    gpu = machine(device="gpu", context_bytes=value(5e6, "B"), workspaces={"product": value(1e6, "B")})
    assert predicted(on=gpu).peak_bytes == predicted().peak_bytes + 6_000_000


def test_rows_add_up_to_the_kernels_and_the_calls_around_them():
    found = predicted(phase="train")
    data = found.to_dict()
    rows = sum(row["seconds"]["mid"] for row in data["rows"])
    assert rows == pytest.approx(data["parts"]["kernels_s"] + data["parts"]["glue_s"])
    assert sum(row["launches"] for row in data["rows"]) == sum(row.launches for row in found.count.rows)
    assert sum(data["bounds"].values()) == pytest.approx(1.0)
    assert sum(data["bases"].values()) == pytest.approx(1.0)
    assert len(found.to_dict(most=2)["rows"]) == 2


def test_without_a_profile_the_answer_is_a_wide_prior_and_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQCOST_STORE", str(tmp_path / "runs.sqlite"))
    found = seqcost.predict("transformer-block", length=32)
    assert "never calibrated" in found.basis
    assert set(found.bases) == {"prior"}
    assert found.seconds.high > 2 * found.seconds.low


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"on": "h99"}, UnknownName, "unknown machine 'h99'"),
        ({"on": 7}, BadTarget, "machine = 7 was given; a name, a .toml file or a Machine is allowed"),
        ({"on": "/nowhere/x.toml"}, BadMachine, "x.toml"),
        ({"length": 0}, BadSize, "length"),
        ({"phase": "sideways"}, UnknownName, "phase"),
        ({"dtype": "bfloat16"}, BadMachine, "toy has no peak for bfloat16; its profile knows float32"),
    ],
)
def test_what_is_not_allowed_is_one_sentence(asked, error, said):
    with pytest.raises(error, match=said):
        predicted(**asked)


def test_weights_alone_run_nothing(tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    with pytest.raises(BadTarget, match="runs nothing that could be timed"):
        seqcost.predict(str(tmp_path / "w.safetensors"), machine=TOY)


def test_a_number_of_threads_that_was_not_calibrated_is_told(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQCOST_STORE", str(tmp_path / "runs.sqlite"))
    assert machine_in("here", threads=3).threads == 3
    from seqcost.machines import write
    from seqcost.machines.shelf import own_profile

    own_profile("cpu", 2).parent.mkdir(parents=True)
    write(machine(threads=2), own_profile("cpu", 2))
    assert machine_in("here").key == TOY.key
    with pytest.raises(UnknownName, match="was not calibrated with 3 threads: run `seqcost calibrate --threads 3`"):
        machine_in("here", threads=3)
