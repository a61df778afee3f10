"""LayerNorm and RMSNorm against their definitions."""

import pytest
import torch
from oracles import relative_error

from seqcost.formulas import Workload
from seqcost.formulas.parts.norm import Norm as Formula
from seqcost.layers import Norm


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def test_layer_norm_is_its_definition():
    layer = Norm(D=63, epsilon=1e-3).double()
    with torch.no_grad():
        for weight in layer.parameters():
            weight += torch.randn_like(weight)
    x = torch.randn(2, 5, 63, dtype=torch.float64)
    centred = x - x.mean(-1, keepdim=True)
    expected = centred / (centred.square().mean(-1, keepdim=True) + 1e-3).sqrt() * layer.norm.weight + layer.norm.bias
    assert relative_error(layer(x), expected) < 1e-12


def test_rms_norm_is_its_definition():
    layer = Norm(D=63, kind="rms", epsilon=1e-3).double()
    with torch.no_grad():
        layer.norm.weight += torch.randn(63)
    x = torch.randn(2, 5, 63, dtype=torch.float64)
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-3).sqrt() * layer.norm.weight
    assert relative_error(layer(x), expected) < 1e-12


@pytest.mark.parametrize(
    ("choices", "scalars"),
    [({}, 126), ({"bias": False}, 63), ({"kind": "rms"}, 63), ({"kind": "rms", "bias": False}, 63)],
)
def test_parameters(choices, scalars):
    assert Formula(D=63, **choices).params().total() == scalars


def test_positions_do_not_mix():
    run = Workload(B=3, T=63)
    assert len(Formula(D=63).path_length(run)) == 0
    assert Formula(D=63).step_flops(run) == Formula(D=63).flops(Workload(B=3))


def test_rms_norm_on_a_cpu_is_six_operators_and_layer_norm_one():
    run = Workload(B=3, T=63)
    assert Formula(D=63).depth(run).total() == 1
    assert Formula(D=63, kind="rms").depth(run).total() == 6
