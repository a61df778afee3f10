"""Architectures of other packages: registered by a program, and found behind an entry point."""

import subprocess
import sys

import pytest
import torch

import seqcost
from seqcost.errors import BadTarget
from seqcost.formulas.catalogue import CATALOGUE
from seqcost.formulas.mixers.gru import Gru as GruFormula
from seqcost.formulas.mixers.mingru import MinGru as MinGruFormula
from seqcost.formulas.registration import unregister
from seqcost.layers import Gru, MinGru, build

ABOUT = {"summary": "a GRU of another package", "family": "recurrence, by a loop", "symbols": "DN"}


class OwnFormula(MinGruFormula):
    """A config of its own, so that its layer is its own, too."""


class OwnLayer(MinGru):
    Config = OwnFormula


@pytest.fixture
def own():
    seqcost.register("own-gru", OwnFormula, OwnLayer, **ABOUT)
    yield "own-gru"
    unregister("own-gru")


def test_it_is_counted_traced_explained_and_stacked(own):
    formula = seqcost.count(f"{own}-layer", length=33, sizes={"D": 8})
    traced = seqcost.count(f"{own}-layer", length=33, sizes={"D": 8}, trace=True)
    assert formula.flops == traced.flops == seqcost.count("mingru-layer", length=33, sizes={"D": 8}).flops
    assert seqcost.count(own, sizes={"D": 8, "L": 2, "U": 11}).params > 0
    assert seqcost.explain(own).sections[0].name == "own-gru-layer"
    both = seqcost.count("hybrid", sizes={"mixers": "own-gru attention", "D": 16, "H": 2, "L": 2, "N": 16}, length=8)
    assert both.flops > 0
    assert own in seqcost.formulas.catalogue.language_models()
    assert own not in dir(seqcost.layers)


def test_its_layer_is_the_class_that_was_given(own):
    layer = build(seqcost.configure(f"{own}-layer", D=8))
    assert type(layer) is OwnLayer
    assert layer(torch.randn(2, 5, 8)).shape == (2, 5, 8)


def test_registering_again_replaces_it(own):
    seqcost.register(own, GruFormula, Gru, **ABOUT | {"summary": "another"})
    assert CATALOGUE[own].summary == "language model: another"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "lstm"}, "is a name of the catalogue already"),
        ({"name": "gpt2"}, "gpt2 is a name of the catalogue already"),
        ({"name": "My GRU"}, "words joined by hyphens"),
        ({"config": int}, "a dataclass of formulas.Component is allowed"),
        ({"layer": 5}, "a class, or 'package.module:Class'"),
        ({"layer": "nowhere"}, "a class, or 'package.module:Class'"),
        ({"family": "trees"}, "one of attention"),
        ({"symbols": "DQ"}, "has no Q"),
    ],
)
def test_what_cannot_be_registered_is_one_sentence(changes, says):
    with pytest.raises(BadTarget, match=says):
        seqcost.register(**{"name": "own-gru", "config": GruFormula, "layer": Gru} | ABOUT | changes)
    assert "own-gru" not in CATALOGUE


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ("no_such_package:Gru", "No module named"),
        ("seqcost.layers:Nothing", "has no attribute"),
        ("seqcost.layers:Gru", "another Config"),
    ],
)
def test_a_layer_that_is_not_there_is_one_sentence(layer, says):
    seqcost.register("own-gru", OwnFormula, layer, **ABOUT)
    try:
        assert seqcost.count("own-gru-layer").flops > 0  # the formula needs no layer
        with pytest.raises(BadTarget, match=says):
            seqcost.count("own-gru-layer", trace=True)
    finally:
        unregister("own-gru")


def test_what_is_not_registered_cannot_be_taken_out():
    with pytest.raises(BadTarget, match="registered architecture"):
        unregister("lstm")


PLUGIN = """
import seqcost
from seqcost.formulas.mixers.gru import Gru

def register():
    seqcost.register("plugged", Gru, "seqcost.layers:Gru", summary="from outside", family="recurrence, by a loop")
"""
METADATA = "Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n"


def with_entry_points(folder, lines):
    (folder / "plugged.py").write_text(PLUGIN)
    (folder / "plugged-1.0.dist-info").mkdir()
    (folder / "plugged-1.0.dist-info" / "METADATA").write_text(METADATA)
    (folder / "plugged-1.0.dist-info" / "entry_points.txt").write_text(f"[seqcost.architectures]\n{lines}\n")

    def run(*words):
        program = f"import sys; sys.path.insert(0, {str(folder)!r}); from seqcost.cli.main import main; main()"
        return subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)

    return run


def test_an_entry_point_is_found_by_every_command(tmp_path):
    run = with_entry_points(tmp_path, "plugged = plugged:register")
    assert "plugged-layer" in run("list").stdout
    counted = run("count", "plugged-layer", "--csv")
    assert counted.returncode == 0, counted.stderr
    assert "by formula" in run("count", "plugged").stdout


def test_an_entry_point_that_fails_is_named_and_harms_nothing(tmp_path):
    run = with_entry_points(tmp_path, "broken = plugged:missing")
    listed = run("list", "--csv")
    assert listed.returncode == 0
    assert "lstm-layer" in listed.stdout
    assert listed.stderr.startswith("seqcost: the entry point broken failed: AttributeError")
    assert "unknown architecture or preset 'plugged'" in run("count", "plugged").stderr
