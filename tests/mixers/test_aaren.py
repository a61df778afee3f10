"""Aaren: fused attention with the one query repeated, the paper's parameters, and what folding the keys saves."""

import math

import pytest
import small
import torch
import torch.nn.functional as F
from oracles import assert_equals_definition, relative_error

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload, catalogue
from seqcost.formulas.mixers.aaren import Aaren as Formula
from seqcost.layers import Aaren

VARIANTS = (
    small.Variant("aaren-layer", "aaren-layer", small.heads(), {"C": 4}),
    small.Variant("aaren-layer-free-head-width", "aaren-layer", small.heads(free=True), {"C": 3, "bias": False}),
    small.Variant("aaren", "aaren", small.model(), {"C": 4}),
)

D, H, K, T = symbols("DHKT").values()


def attention(layer, x_BTD):
    """Causal fused attention whose query is the same token at all positions."""
    heads = (layer.config.H, layer.config.K)
    B, T, _ = x_BTD.shape
    q = layer.query(layer.token).unflatten(-1, heads).expand(B, T, *heads)
    k, v = layer.key(x_BTD).unflatten(-1, heads), layer.value(x_BTD).unflatten(-1, heads)
    y = F.scaled_dot_product_attention(*(z.transpose(1, 2) for z in (q, k, v)), is_causal=True)
    return layer.output(y.transpose(1, 2).flatten(2))


def test_parameters_of_the_paper():
    # The paper counts one layer of width 512: 3,152,384 of a Transformer, 3,152,896 of Aaren.
    block = catalogue.configure("transformer-block", D=512, H=8, F=2048, activation="relu").params()
    assert block.total() == 3_152_384
    aaren = Formula(D=512, H=8).params().total()
    attention = sum(line.amount for line in block if line.name.startswith("attention.") and "norm" not in line.name)
    assert block.total() - attention + aaren == 3_152_896


def test_folded_keys_cost_a_score_and_not_a_product():
    # Unfolded, keys, values and output are 6·T·D² and the scores 2·T·D.
    layer = Formula(D=D, H=H)
    assert layer.flops(Workload(T=T)).leading("T", Kind.CONTRACTION).equals(2 * T * D * (2 * D + H))
    assert layer.state_bytes(Workload(T=T)).total().equals(4 * H * (D / H + 2))


def test_a_step_costs_the_same_at_any_length():
    layer = Formula(D=64, H=4)
    assert layer.step_flops(Workload(T=9)) == layer.step_flops(Workload(T=100_000))
    assert layer.state_bytes(Workload(T=9)) == layer.state_bytes(Workload(T=100_000))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sharp", [1.0, 30.0], ids=["flat", "sharp"])
def test_equals_fused_attention_in_outputs_and_gradients(bias, sharp):
    torch.manual_seed(0)
    layer = Aaren(D=24, H=4, bias=bias)
    with torch.no_grad():
        layer.token *= sharp
    x = torch.randn(2, 70, 24, requires_grad=True)
    assert_equals_definition(layer, x, attention)


@pytest.mark.parametrize("C", [2, 7, 512])
def test_the_chunk_changes_nothing(C):
    small, large = Aaren(D=12, H=2, C=16).double(), Aaren(D=12, H=2, C=C).double()
    large.load_state_dict(small.state_dict())
    x = torch.randn(2, 100, 12, dtype=torch.float64)
    assert relative_error(large(x), small(x)) < 1e-13


def test_scores_that_jump_by_120():
    layer = Aaren(D=12, H=2)
    with torch.no_grad():
        direction = layer.key.weight.T @ layer.query(layer.token)[0]
        x = torch.randn(1, 60, 12)
        for t in (20, 33, 41):
            x[:, t:] += 300 * direction / direction.square().sum()
        y = layer(x)
    assert y.isfinite().all()
    assert relative_error(y, attention(layer, x)) < 1e-5


def test_thousands_of_tokens_in_float32_as_in_float64():
    torch.manual_seed(1)
    layer, T = Aaren(D=16, H=2), 2000
    exact = Aaren(D=16, H=2).double()
    exact.load_state_dict(layer.state_dict())
    x = 2 * torch.randn(1, T, 16)
    with torch.no_grad():
        assert relative_error(layer(x).double(), attention(exact, x.double())) < 2e-6 * math.sqrt(T / 64)
