"""RG-LRU: the paper's counts, Hugging Face's RecurrentGemma with the same weights, long texts."""

import math

import pytest
import small
import torch
from oracles import relative_error

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload
from seqcost.formulas.mixers.rg_lru import RgLru as Formula
from seqcost.layers import RgLru

VARIANTS = (
    small.Variant("rg-lru-layer", "rg-lru-layer", small.scanned(), {"C": 4}),
    small.Variant("rg-lru", "rg-lru", small.scanned(U=(2, 11), L=(1, 2), F=(1, 7)), {"C": 4}),
)

D, T = symbols("DT").values()


def test_two_products_a_token_and_a_state_of_d():
    layer = Formula(D=D)
    assert layer.flops(Workload(T=T)).leading("T", Kind.CONTRACTION) == 4 * T * D**2
    assert Formula(D=64).params().total() == 2 * 64 * 64 + 3 * 64
    assert Formula(D=64).state_bytes(Workload(B=3, T=1000)).total() == 3 * 64 * 4


def test_equals_recurrent_gemma():
    module = pytest.importorskip(
        "transformers.models.recurrent_gemma.modeling_recurrent_gemma", reason="transformers has the released layer"
    )
    config = pytest.importorskip("transformers").RecurrentGemmaConfig(lru_width=24, num_attention_heads=1)
    torch.manual_seed(0)
    ours, theirs = RgLru(D=24), module.RecurrentGemmaRglru(config)
    W_a, W_x = ours.gates.weight.split(24)
    b_a, b_x = ours.gates.bias.split(24)
    with torch.no_grad():
        theirs.recurrent_param.copy_(ours.decay)
        theirs.recurrent_gate_weight[0] = W_a.T
        theirs.input_gate_weight[0] = W_x.T
        theirs.recurrent_gate_bias[0], theirs.input_gate_bias[0] = b_a, b_x
    x, z = (torch.randn(2, 100, 24, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2))
    positions = torch.arange(1, 101).expand(2, -1)  # at position 0 theirs starts anew
    y, their_y = ours(x), theirs(z, positions)
    assert relative_error(y, their_y) < 1e-5
    seed = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    y.backward(seed)
    their_y.backward(seed)
    assert relative_error(x.grad, z.grad) < 1e-5
    assert relative_error(ours.decay.grad, theirs.recurrent_param.grad) < 1e-5
    assert relative_error(ours.gates.weight.grad[:24], theirs.recurrent_gate_weight.grad[0].T) < 1e-5


def test_long_texts_stay_within_rounding():
    torch.manual_seed(0)
    layer, x = RgLru(D=16), torch.randn(1, 2000, 16)
    with torch.no_grad():
        y = layer(x)
        exact = layer.double()(x.double())
    assert relative_error(y.double(), exact) < 2e-6 * math.sqrt(2000 / 64)


def test_a_closed_gate_keeps_the_state_and_lets_nothing_in():
    layer = RgLru(D=4)
    with torch.no_grad():
        layer.gates.weight.zero_()
        layer.gates.bias[:4] = -40.0  # r = 0, so a = 1
        _, state = layer.extend(torch.randn(1, 3, 4), layer.init_state(1))
    assert state.h_BN.abs().max() < 1e-6
