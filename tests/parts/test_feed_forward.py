"""The feed-forward network: plain and gated."""

import pytest
import torch
import torch.nn.functional as F
from oracles import relative_error

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload
from seqcost.formulas.parts.feed_forward import ACTIVATIONS
from seqcost.formulas.parts.feed_forward import FeedForward as Formula
from seqcost.layers import FeedForward
from seqcost.layers.parts.feed_forward import ACTIVATIONS as FUNCTIONS

B, D, W, T = symbols("BDFT").values()


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_two_products_or_three(activation):
    layer, products = Formula(D=D, F=W, activation=activation), 3 if activation == "swiglu" else 2
    run = Workload(B=B, T=T)
    assert layer.flops(run).total(Kind.CONTRACTION) == products * 2 * B * T * D * W
    assert layer.backward_flops(run).total(Kind.CONTRACTION) == 2 * products * 2 * B * T * D * W
    weights = sum(line.amount for line in layer.params() if "bias" not in line.name)
    assert weights == products * D * W


def test_swiglu_is_its_definition():
    torch.manual_seed(0)
    layer = FeedForward(D=16, F=63, activation="swiglu")
    x = torch.randn(2, 5, 16)
    expected = layer.down(F.silu(layer.gate(x)) * layer.up(x))
    assert relative_error(layer(x), expected) == 0
    assert {name.split(".")[0] for name, _ in layer.named_parameters()} == {"gate", "up", "down"}


@pytest.mark.parametrize(("activation", "value"), [("relu", 0.0), ("gelu", -0.158655), ("gelu-tanh", -0.158808)])
def test_activations_at_minus_one(activation, value):
    assert FUNCTIONS[activation](torch.tensor(-1.0)).item() == pytest.approx(value, abs=1e-6)


def test_formula_and_layer_know_the_same_activations():
    assert set(ACTIVATIONS) == set(FUNCTIONS)


def test_relu_keeps_one_tensor_gelu_two_and_swiglu_four():
    run = Workload(B=3, T=63)
    hidden = 3 * 63 * 100 * 4
    saved = {a: Formula(D=16, F=100, activation=a).saved_bytes(run) for a in ACTIVATIONS}
    kept = {a: sum(line.amount for line in bill if line.name != "input") // hidden for a, bill in saved.items()}
    assert kept == {"relu": 1, "gelu": 2, "gelu-tanh": 2, "swiglu": 4}
