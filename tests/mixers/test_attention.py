"""Attention: the papers' tables, and torch's implementations with the same weights."""

import pytest
import small
import sympy
import torch
import torch.nn.functional as F
from oracles import assert_agree, copy_weights, multihead, relative_error
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.mixers.attention import Attention as Formula
from seqcost.layers import Attention

VARIANTS = (
    small.Variant("attention", "attention-layer", small.heads()),
    small.Variant("attention-grouped", "attention-layer", small.heads(grouped=True)),
    small.Variant("attention-multi-query", "attention-layer", small.heads(one_key_head=True)),
    small.Variant("attention-free-head-width", "attention-layer", small.heads(free=True)),
    small.Variant("attention-bidirectional", "attention-layer", small.heads(), {"causal": False}),
    small.Variant("attention-rope", "attention-layer", small.heads(grouped=True), {"rope": True, "bias": False}),
    small.Variant("attention-materialised", "attention-layer", small.heads(), {"implementation": "materialised"}),
    small.Variant(
        "attention-materialised-grouped-rope-wide-values",
        "attention-layer",
        small.heads(grouped=True, wide_values=True),
        {"implementation": "materialised", "rope": True},
    ),
    small.Variant(
        "attention-materialised-bidirectional",
        "attention-layer",
        small.heads(),
        {"implementation": "materialised", "causal": False},
    ),
    small.Variant("cross-attention", "cross-attention-layer", small.heads(grouped=True)),
    small.Variant(
        "cross-attention-materialised", "cross-attention-layer", small.heads(), {"implementation": "materialised"}
    ),
)

B, D, H, S, T = symbols("BDHST").values()
WAYS = ("fused", "materialised")
every_way = pytest.mark.parametrize("implementation", WAYS)


@every_way
def test_vaswani_table_1(implementation):
    # Vaswani et al. 2017, table 1, self-attention: n²·d a layer, O(1) sequential operations, path 1.
    layer = Formula(D=D, H=H, implementation=implementation)
    run = Workload(T=T)
    assert sympy.simplify(layer.flops(run).leading("T", Kind.CONTRACTION) / (T**2 * D)) == 4
    assert sympy.simplify(layer.depth(run).leading("T")).is_integer
    assert layer.path_length(run).total() == 1


@every_way
def test_cross_attention_is_linear_in_either_length(implementation):
    layer = Formula(D=D, H=H, cross=True, causal=False, implementation=implementation)
    scores = "attend" if implementation == "fused" else "scores"
    bill = layer.flops(Workload(T=T, S=S)).only(Kind.CONTRACTION)
    each = 4 if implementation == "fused" else 2  # q kᵀ and the mix in one line, or in two
    assert sympy.simplify(bill.select(scores).total() - each * T * S * D) == 0


def test_a_source_in_the_state_is_not_projected_again():
    layer = Formula(D=64, H=4, cross=True, causal=False)
    run = Workload(B=3, T=63, S=100)
    names = {line.name for line in layer.step_flops(run)}
    assert "project_key" not in names
    assert layer.state_bytes(run) == layer.state_bytes(run.step())


@every_way
def test_both_ways_compute_the_same_products_forward(implementation):
    run = Workload(B=3, T=63, P=5)
    flops = Formula(D=64, H=4, G=2, implementation=implementation).flops(run)
    assert flops.total(Kind.CONTRACTION) == 2 * 3 * 63 * 64 * (64 + 32 + 32 + 64) + 4 * 3 * 63 * 68 * 64


def test_only_materialised_attention_keeps_what_grows_with_the_square():
    saved = [Formula(D=D, H=H, implementation=way).saved_bytes(Workload(B=B, T=T)).leading("T") for way in WAYS]
    assert sympy.simplify(saved[1] - 4 * B * H * T**2) == 0
    assert sympy.degree(saved[0], T) == 1


def copied(theirs, **sizes):
    ours = Attention(D=16, H=4, **sizes)
    copy_weights(ours, theirs, multihead())
    return ours


def pair(*shape):
    x = torch.randn(shape)
    return x.clone().requires_grad_(), x.clone().requires_grad_()


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def theirs():
    return nn.MultiheadAttention(16, 4, batch_first=True)


@every_way
@pytest.mark.parametrize("causal", [True, False], ids=["causal", "bidirectional"])
def test_equals_multihead_attention(theirs, implementation, causal):
    ours = copied(theirs, causal=causal, implementation=implementation)
    x, z = pair(2, 63, 16)
    mask = nn.Transformer.generate_square_subsequent_mask(63) if causal else None
    y, _ = theirs(z, z, z, attn_mask=mask, is_causal=causal, need_weights=False)
    assert_agree(ours, theirs, multihead(), (ours(x), y), ((x,), (z,)))


@every_way
def test_equals_multihead_attention_over_a_padded_source(theirs, implementation):
    ours = copied(theirs, causal=False, cross=True, implementation=implementation)
    x, z = pair(2, 5, 16)
    source, their_source = pair(2, 63, 16)
    keep = torch.arange(63).expand(2, 63) < torch.tensor([[50], [63]])
    y, _ = theirs(z, their_source, their_source, key_padding_mask=~keep, need_weights=False)
    assert_agree(ours, theirs, multihead(), (ours(x, source, keep_source=keep), y), ((x, source), (z, their_source)))


@every_way
@pytest.mark.parametrize("G", [1, 2, 4], ids="G={}".format)
def test_equals_torch_math_in_float64(implementation, G):
    layer = Attention(D=16, H=4, G=G, implementation=implementation).double()
    x = torch.randn(2, 63, 16, dtype=torch.float64)

    def heads(y, n):
        return y.unflatten(-1, (n, 4)).transpose(1, 2)

    q, k, v = heads(layer.query(x), 4), heads(layer.key(x), G), heads(layer.value(x), G)
    with sdpa_kernel(SDPBackend.MATH):
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    assert relative_error(layer(x), layer.output(y.transpose(1, 2).flatten(2))) < 1e-12


@every_way
def test_grouped_queries_are_multihead_attention_with_keys_repeated(theirs, implementation):
    grouped = Attention(D=16, H=4, G=2, implementation=implementation)
    full = Attention(D=16, H=4, implementation=implementation)
    with torch.no_grad():
        for name, weight in grouped.named_parameters():
            if name.split(".")[0] in ("key", "value"):
                weight = weight.unflatten(0, (2, 4)).repeat_interleave(2, dim=0).flatten(0, 1)
            full.get_parameter(name).copy_(weight)
    x = torch.randn(2, 63, 16)
    assert relative_error(grouped(x), full(x)) < 1e-6


def test_heads_of_a_width_of_their_own():
    layer = Attention(D=10, H=2, K=6, V=3, implementation="materialised")
    assert layer.output.weight.shape == (10, 6)
    assert layer(torch.randn(2, 5, 10)).shape == (2, 5, 10)


def test_cross_attention_asks_for_its_source():
    layer = Attention(D=16, H=4, cross=True, causal=False)
    with pytest.raises(BadSize, match=r"needs a source; call m\(x, source\)"):
        layer(torch.randn(2, 5, 16))
    with pytest.raises(BadSize, match=r"needs a source; .* init_state\(batch, source\)"):
        layer.init_state(2)
