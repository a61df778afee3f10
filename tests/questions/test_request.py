"""A request is checked once and never changes; what it means for a formula is read off it."""

import dataclasses

import pytest

import seqcost
from seqcost.errors import BadSize, BadTarget, UnknownName
from seqcost.questions.asked.request import PHASES, Request


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"phase": "sideways"}, UnknownName, "unknown phase"),
        ({"causal": "third"}, UnknownName, "causal attention"),
        ({"dtype": "float31"}, UnknownName, "float31"),
        ({"batch": 0}, BadSize, "batch = 0"),
        ({"source": -1}, BadSize, "source = -1"),
        ({"accumulate": 1.5}, BadSize, "accumulate"),
        ({"trace": "yes"}, BadTarget, "True or False"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_not_allowed_is_refused_at_once(given, error, says):
    with pytest.raises(error, match=says):
        Request.of(**given)


def test_text_is_read():
    assert Request.of(batch="2k", dtype="bf16", phase="decode") == Request(B=2048, dtype="bfloat16", phase="decode")


def test_it_never_changes():
    request = Request.of()
    with pytest.raises(dataclasses.FrozenInstanceError):
        request.T = 3
    assert request.at(7) == dataclasses.replace(request, T=7)
    assert hash(request.at(7)) == hash(Request(T=7))


def test_what_formulas_stop_at_needs_a_trace():
    assert not Request.of().needs_trace
    for given in ({"trace": True}, {"optimizer": "sgd"}, {"accumulate": 2}):
        assert Request.of(**given).needs_trace, given


def test_a_source_is_as_long_as_belongs_to_the_length():
    config = seqcost.configure("encoder-decoder")
    assert config.source_tokens(33) == Request().workload(config, 33).S
    assert Request(S=5).workload(config, 33).S == 5
    assert Request(S=5).workload(seqcost.configure("lstm"), 33).S == 0


def test_a_formula_is_asked_once_for_each_length(monkeypatch):
    from seqcost.questions.answers import formula

    asked = []

    def counting(config, run, phase, **options):
        asked.append(run.T)
        return by_formula(config, run, phase, **options)

    by_formula = formula.by_formula
    monkeypatch.setattr(formula, "by_formula", counting)
    lengths = [100, 1000, 10000]
    seqcost.count("mamba-130m", length=lengths)
    assert set(lengths) <= set(asked)
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_can_be_asked(phase):
    assert seqcost.count("lstm-layer", length=4, phase=phase).phase == phase
