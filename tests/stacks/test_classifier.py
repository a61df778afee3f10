"""Classifiers over every mixer: at any length, with padding, and as the formula counts them."""

import json

import pytest
import torch
from oracles import relative_error
from typer.testing import CliRunner

from seqcost.algebra import Kind
from seqcost.cli.main import app
from seqcost.errors import BadSize, UnknownName
from seqcost.formulas import Workload
from seqcost.formulas.architectures import MIXERS
from seqcost.formulas.catalogue import classifier
from seqcost.layers import Classifier, build
from seqcost.programs import Target
from seqcost.trace import trace

SIZES = {"U": 11, "D": 16, "L": 2, "F": 24, "classes": 3}
every_mixer = pytest.mark.parametrize("mixer", MIXERS)


def inputs(model, B, T):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return model.example_inputs(B, T)


@every_mixer
@pytest.mark.parametrize("T", [1, 2, 33])
def test_any_length(mixer, T):
    torch.manual_seed(0)
    model = Classifier(mixer=mixer, **SIZES)
    y = model(*inputs(model, 2, T))
    assert y.shape == (2, 3)
    assert y.isfinite().all()
    torch.nn.functional.cross_entropy(y, torch.tensor([0, 2])).backward()


@every_mixer
def test_formula_and_trace_agree(mixer):
    config = classifier(mixer, **SIZES)
    T = 13
    run = Workload(B=2, T=T, S=config.source_tokens(T) if config.takes_source else 0)
    target = Target("classifier", lambda: build(config), own_mode=True)
    traced = trace(target, phase="forward", B=2, T=T, lengths=())
    assert not traced.uncounted
    assert traced.params == config.params().total()
    assert traced.flops.total(Kind.CONTRACTION) == config.flops(run).total(Kind.CONTRACTION)
    assert traced.traffic.total() == config.bytes_moved(run).total()
    assert traced.saved.total() == config.saved_bytes(run).total()


@every_mixer
@pytest.mark.parametrize("pool", ["mean", "last", "first"])
def test_padding_on_the_right_changes_nothing(mixer, pool):
    torch.manual_seed(0)
    model = Classifier(mixer=mixer, pool=pool, **SIZES).double()
    x, *source = inputs(model, 1, 12)
    source = [s.detach().double() for s in source]
    keep = torch.arange(12).expand(1, 12) < 8
    short = [s[:, : -(-8 // model.config.body.mixers[0].C)] for s in source] if source else []
    with torch.no_grad():
        assert relative_error(model(x, *source, keep=keep), model(x[:, :8], *short)) < 1e-10


@pytest.mark.parametrize("pool", ["mean", "last", "first"])
@pytest.mark.parametrize("mixer", ["attention", "gru", "mamba attention"])
def test_padding_on_the_left_changes_nothing(mixer, pool):
    torch.manual_seed(0)
    model = Classifier(mixer=mixer, pool=pool, **SIZES).double()
    (x,) = inputs(model, 2, 12)
    keep = torch.arange(12).expand(2, 12) >= torch.tensor([[4], [0]])
    with torch.no_grad():
        assert relative_error(model(x, keep=keep)[:1], model(x[:1, 4:])) < 1e-10


def test_positions_hold_at_any_length_unless_a_table_is_asked_for():
    assert classifier("attention").body.positions == "sinusoidal"
    assert classifier("attention", M=64).body.positions == "learned"
    assert classifier("lstm").body.positions == "none"
    with pytest.raises(BadSize, match="65 tokens were given to a learned table of 64 positions"):
        Classifier(M=64, **SIZES)(torch.zeros(1, 65, dtype=torch.long))


def test_what_is_refused():
    with pytest.raises(UnknownName, match="unknown size of a model of lstm 'H'"):
        classifier("lstm", H=4)
    with pytest.raises(UnknownName, match="unknown mixer 'lst'"):
        classifier("lst")
    with pytest.raises(BadSize, match="a classifier ends in its classes"):
        classifier("lstm", head="logits")
    with pytest.raises(BadSize, match="give at least one token"):
        Classifier(mixer="gru", **SIZES)(torch.zeros(2, 0, dtype=torch.long))


@pytest.mark.parametrize("mixer", ["lstm", "conv", "retro", "mamba attention"])
def test_from_the_command_line(mixer):
    asked = ["count", "classifier", "--set", f"mixers={mixer}", "--width", "16", "--length", "6000", "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["flops"] > 0


def test_traced_and_compared_from_the_command_line(tmp_path):
    sizes = ["--set", "mixers=conv", "--width", "16", "--vocab", "11"]
    formula, traced = (
        json.loads(CliRunner().invoke(app, ["count", "classifier", *sizes, "-n", "20", "--json", *more]).output)
        for more in ([], ["--trace"])
    )
    assert formula["flops"] == traced["flops"]
    asked = ["compare", "classifier", *sizes, "-n", "20,40", "--out", str(tmp_path / "page"), "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
