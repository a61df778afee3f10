"""AFT-simple: PyTorch's fused attention with D heads of one feature and a query of 1, counts, keys that jump."""

import pytest
import small
import torch
import torch.nn.functional as F
from oracles import assert_equals_definition, relative_error

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload
from seqcost.formulas.mixers.aft import Aft as Formula
from seqcost.layers import Aft

VARIANTS = (
    small.Variant("aft-layer", "aft-layer", small.scanned(), {"C": 4}),
    small.Variant("aft-layer-unbiased", "aft-layer", small.scanned(), {"C": 3, "bias": False}),
    small.Variant("aft", "aft", small.scanned(U=(2, 11), L=(1, 2), F=(1, 7)), {"C": 4}),
)

D, T = symbols("DT").values()


def attention(layer, x_BTD):
    """Causal fused attention of D heads one feature wide, whose query is 1, behind the gate."""
    k_BDT1, v_BDT1 = (project(x_BTD).mT.unsqueeze(-1) for project in (layer.key, layer.value))
    o_BDT1 = F.scaled_dot_product_attention(torch.ones_like(k_BDT1), k_BDT1, v_BDT1, is_causal=True, scale=1.0)
    return layer.query(x_BTD).sigmoid() * o_BDT1.squeeze(-1).mT


def test_three_products_a_token_and_a_state_of_three_numbers_a_feature():
    layer = Formula(D=D)
    assert layer.flops(Workload(T=T)).leading("T", Kind.CONTRACTION) == 6 * T * D**2
    assert Formula(D=64).params().total() == 3 * (64 * 64 + 64)
    assert Formula(D=64).state_bytes(Workload(B=3, T=1000)).total() == 3 * 3 * 64 * 4


@pytest.mark.parametrize("sharp", [1.0, 30.0], ids=["flat", "sharp"])
def test_equals_fused_attention_in_outputs_and_gradients(sharp):
    torch.manual_seed(0)
    layer = Aft(D=12)
    with torch.no_grad():
        layer.key.weight *= sharp
    x = torch.randn(2, 70, 12, requires_grad=True)
    assert_equals_definition(layer, x, attention)


def test_keys_that_jump_by_120_do_not_overflow():
    layer = Aft(D=4)
    with torch.no_grad():
        layer.key.weight.copy_(torch.eye(4) * 120)
        x = torch.arange(20.0).view(1, 20, 1).expand(1, 20, 4)
        assert relative_error(layer(x), layer.double()(x.double()).float()) < 1e-5
