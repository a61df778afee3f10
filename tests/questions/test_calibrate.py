"""A profile that runs on record teach: which runs count, what is refused, and what becomes of it."""

import warnings
from dataclasses import replace

import pytest
from toy_machine import learnt, machine

import seqcost
from seqcost.errors import BadMachine, BadTarget
from seqcost.machines import read, write
from seqcost.machines.shelf import own_profile
from seqcost.machines.values import OWN_MODELS
from seqcost.questions.calibrate import FACTS, _with_other_formats
from seqcost.records import Job, Run, Store, this_environment

TARGETS = ("rnn-layer", "lstm-layer", "gru-layer", "conv-layer", "mingru-layer", "attention-layer")
HERE = this_environment()


@pytest.fixture
def store(monkeypatch, tmp_path):
    """A store of its own, beside which lies a profile of this machine on one thread."""
    monkeypatch.setenv("SEQCOST_STORE", str(tmp_path / "runs.sqlite"))
    facts = HERE.to_dict()
    profile = machine(name="here", threads=1, environment={name: facts[name] for name in FACTS})
    own_profile("cpu", 1).parent.mkdir(parents=True)
    write(profile, own_profile("cpu", 1))
    return tmp_path / "runs.sqlite"


def ran(store, target, *, factor=2.0, environment=HERE, **changes):
    """A run that took so many times what is predicted for it."""
    job = Job(target={"kind": "catalogue", "name": target, "sizes": {"D": 32}}, phase="forward", B=1, T=64)
    seconds = factor * seqcost.predict(target, length=64, sizes={"D": 32}, machine=machine()).seconds.mid
    run = Run(
        job=job, environment=environment, status="ok", wall_s=(seconds,) * 5, num_warmup=1,
        started_at="2026-01-02T03:04:05+00:00", time_limit_s=300.0, memory_limit_bytes=2**34,
    )  # fmt: skip
    with Store(store) as kept:
        kept.add(replace(run, **changes))


def taught(**how):
    return seqcost.calibrate(from_records=True, **{"threads": 1} | how)


def test_runs_bring_predictions_nearer_and_the_profile_says_so(store):
    for target in TARGETS:
        ran(store, target)
    before = seqcost.predict("rnn-layer", length=64, sizes={"D": 32}, threads=1)
    found = taught()
    after = seqcost.predict("rnn-layer", length=64, sizes={"D": 32}, threads=1)
    assert found.helps
    assert 1.3 * before.seconds.mid < after.seconds.mid < 2 * before.seconds.mid
    assert "learnt from 6 runs of 6 targets" in after.basis
    assert "learnt" not in before.basis
    data = found.to_dict()
    assert (data["num_runs"], data["num_targets"], data["kept"]) == (6, 6, True)
    assert data["after"]["median"] < data["before"]["median"] == pytest.approx(0.5)
    assert read(own_profile("cpu", 1)).learnt["float32"] == found.lesson.learnt
    assert "6 runs of 6 targets" in str(found)


def test_what_was_learnt_before_is_no_part_of_what_is_learnt_anew(store):
    for target in TARGETS:
        ran(store, target)
    first, second = taught(), taught()
    assert second.to_dict()["parts"] == first.to_dict()["parts"]


@pytest.mark.parametrize(
    "change",
    [
        {"environment": replace(HERE, torch_version="1.0")},
        {"environment": replace(HERE, machine_id="0123456789ab")},
        {"job": Job(target={"kind": "catalogue", "name": "aft-layer"}, phase="forward", B=1, T=64, threads=7)},
        {"job": Job(target={"kind": "catalogue", "name": "aft-layer"}, phase="forward", B=1, T=64, dtype="float64")},
    ],
)
def test_runs_of_another_environment_are_no_evidence(store, change):
    for target in TARGETS:
        ran(store, target)
    ran(store, "aft-layer", factor=50.0, **change)
    assert taught().to_dict()["num_targets"] == 6


def test_what_was_disturbed_or_cannot_be_counted_is_left_out_and_said(store):
    for target in TARGETS:
        ran(store, target)
    ran(store, "aft-layer", factor=50.0, other_cores=float(HERE.num_cores))
    gone = Job(target={"kind": "catalogue", "name": "no-such-layer", "sizes": {}}, phase="forward", B=1, T=64)
    ran(store, "aft-layer", job=gone)
    assert taught().left_out == {"disturbed": 1, "cannot be counted": 1}


def test_what_does_not_help_changes_nothing(store):
    for target, factor in zip(TARGETS, (3.0, 1 / 3) * 3, strict=True):
        ran(store, target, factor=factor)
    before = own_profile("cpu", 1).read_text()
    found = taught()
    assert not found.helps
    assert "nothing was changed" in str(found)
    assert own_profile("cpu", 1).read_text() == before


def test_too_few_targets_are_refused_with_what_to_do(store):
    for target in TARGETS[:3]:
        ran(store, target)
    with pytest.raises(BadTarget, match=r"runs of 3 targets in float32 .* at least 4 are needed .* seqcost measure"):
        taught()


def test_what_cannot_be_taught_is_one_sentence(store, tmp_path):
    with pytest.raises(BadMachine, match=r"there is no profile .* run seqcost calibrate first"):
        taught(output=tmp_path / "other.toml")
    write(machine(environment={"torch_version": "1.0"}), tmp_path / "old.toml")
    with pytest.raises(BadMachine, match=r"of another machine or other versions \(machine_id, .*torch_version\)"):
        taught(output=tmp_path / "old.toml")
    with pytest.raises(BadTarget, match="anyway was given with from_records"):
        taught(anyway=True)
    with pytest.raises(BadTarget, match="store was given without from_records"):
        seqcost.calibrate(store=store)


def test_a_calibration_anew_drops_what_was_learnt_and_says_so(tmp_path):
    old = machine(learnt={"float32": learnt(calls=2.0)})
    write(old, tmp_path / "here.toml")
    with pytest.warns(seqcost.errors.SeqcostWarning, match="what 30 runs taught of float32 .* is dropped"):
        assert _with_other_formats(machine(), tmp_path / "here.toml", own=True).learnt == {}


def test_what_own_models_taught_is_dropped_without_a_word(tmp_path):
    """They run with every calibration."""
    taught = learnt(calls=2.0)
    own = replace(taught.parts["calls"], source=OWN_MODELS)
    write(machine(learnt={"float32": replace(taught, parts={"calls": own}, phases={})}), tmp_path / "here.toml")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _with_other_formats(machine(), tmp_path / "here.toml", own=True)


def test_the_command_says_what_it_found(store):
    for target in TARGETS:
        ran(store, target)
    from typer.testing import CliRunner

    from seqcost.cli.main import app

    ended = CliRunner().invoke(app, ["calibrate", "--from-records", "--threads", "1"])
    assert ended.exit_code == 0, ended.output
    assert "6 runs of 6 targets" in ended.output
    assert "kept in here@" in ended.output
    assert max(map(len, ended.output.splitlines())) <= 80
