"""What an architecture is held to: ours hold all of it, and each fault is told in the row where it belongs."""

import json
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

import seqcost
from seqcost.algebra import Bill, Kind
from seqcost.errors import BadTarget, UnknownName
from seqcost.formulas.architectures import MIXERS
from seqcost.formulas.mixers.mingru import MinGru as Formula
from seqcost.formulas.registration import unregister
from seqcost.layers import MinGru

QUICK = ("attention", "rg-lru", "retro", "lstm")


def failed(name, **sizes):
    found = seqcost.check_architecture(name, sizes=sizes or None)
    return {row.what for row in found.rows if row.verdict in ("fails", "raises")}


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in MIXERS if n not in QUICK)])
def test_ours_are_sound(name):
    found = seqcost.check_architecture(name)
    assert found.sound, str(found)
    assert len(found.rows) >= 13


@dataclass(frozen=True, kw_only=True)
class OneMore(Formula):
    def params(self):
        return super().params() + Bill.of(Kind.PARAMETERS, forgotten=1)


@dataclass(frozen=True, kw_only=True)
class Unsourced(Formula):
    SOURCE = ""


@dataclass(frozen=True, kw_only=True)
class Carefree(Formula):
    def state_bytes(self, run):
        return Bill.of(Kind.STATE, hidden=run.B * self.D)


def layer_of(config, **changes):
    return type("Own", (MinGru,), {"Config": config, **changes})


def halved(self, x):
    return MinGru.reference(self, x) / 2


def from_behind(self, x):
    return MinGru.forward(self, x.flip(1)).flip(1)


FAULTS = {
    "a parameter too many": (OneMore, {}, "parameters = elements of the weights"),
    "no source": (Unsourced, {}, "source and equations are named"),
    "half a state": (Carefree, {}, "formula = trace: decode"),
    "another definition": (Formula, {"reference": halved}, "layer = its reference, outputs and gradients"),
    "the future seen": (Formula, {"forward": from_behind}, "does not see the future"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_where_it_belongs(fault):
    formula, changes, row = FAULTS[fault]
    config = dataclass(frozen=True, kw_only=True)(type("Own", (formula,), {}))
    seqcost.register(
        "own", config, layer_of(config, **changes), summary="of a test", family="recurrence, by a scan", symbols="D"
    )
    try:
        assert row in failed("own")
    finally:
        unregister("own")


def test_what_is_no_layer_is_refused():
    with pytest.raises(BadTarget, match="gpt2 was given, a preset"):
        seqcost.check_architecture("gpt2")
    with pytest.raises(UnknownName, match="did you mean"):
        seqcost.check_architecture("lsmt")


def test_random_numbers_are_left_alone():
    before = torch.get_rng_state()
    seqcost.check_architecture("norm")
    assert torch.equal(before, torch.get_rng_state())


def test_the_command_prints_rows_and_says_by_its_code():
    words = [sys.executable, "-m", "seqcost", "check-architecture", "norm", "--json"]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    found = json.loads(ended.stdout)
    assert found["sound"] is True
    assert {"what", "verdict", "remark"} <= set(found["rows"][0])
