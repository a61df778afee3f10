"""Linear attention: published counts, flash-linear-attention's loop, all pairs by hand, softmax by random features."""

import math

import pytest
import small
import torch
from fla_loops import naive
from oracles import relative_error
from torch.nn import functional as F

from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import configure
from seqcost.formulas.mixers.attention import Attention as SoftmaxFormula
from seqcost.formulas.mixers.linear_attention import LinearAttention as Formula
from seqcost.layers import LinearAttention
from seqcost.layers.mixers.linear_attention import favor, orthogonal_features

VARIANTS = (
    small.Variant("linear-attention-layer", "linear-attention-layer", small.heads(), {"C": 4}),
    small.Variant("linear-attention-parallel", "linear-attention-layer", small.heads(), {"form": "parallel"}),
    small.Variant("linear-attention-recurrent", "linear-attention-layer", small.heads(), {"form": "recurrent"}),
    small.Variant("linear-attention-bidirectional", "linear-attention-layer", small.heads(), {"causal": False}),
    small.Variant(
        "linear-attention-relu",
        "linear-attention-layer",
        small.heads(wide_values=True),
        {"C": 4, "feature": "relu", "bias": True},
    ),
    small.Variant(
        "linear-attention-identity",
        "linear-attention-layer",
        small.heads(),
        {"C": 4, "feature": "identity", "normalise": False},
    ),
    small.Variant(
        "linear-attention-favor", "linear-attention-layer", small.random_features, {"C": 4, "feature": "favor"}
    ),
    small.Variant("linear-attention", "linear-attention", small.model(), {"C": 4}),
)

D, H, C, T = symbols("DHCT").values()
K = D / H
FORMS = ({"form": "chunked", "C": 16}, {"form": "parallel"}, {"form": "recurrent"})


def layer(seed=0, **sizes):
    torch.manual_seed(seed)
    return LinearAttention(**{"D": 24, "H": 3} | sizes)


def test_parameters_are_those_of_attention():
    assert Formula(D=D, H=H).params().total() == 4 * D**2
    assert Formula(D=D, H=H, bias=True).params().total() == 4 * D**2 + 4 * D


def test_the_products_of_a_chunked_layer():
    # Projections, then per token 2 products with a state [K,K] and 2 with the C tokens of its chunk, masked ones too.
    flops = Formula(D=D, H=H, C=C).flops(Workload(T=T)).leading("T", Kind.CONTRACTION)
    assert (flops - (8 * T * D**2 + 4 * T * D * K + 4 * T * C * D)).expand() == 0


def test_the_other_forms():
    run = Workload(T=T)
    parallel = Formula(D=D, H=H, form="parallel").flops(run).total(Kind.CONTRACTION)
    assert (parallel - (8 * T * D**2 + 4 * T**2 * D)).expand() == 0
    for linear in (Formula(D=D, H=H, causal=False), Formula(D=D, H=H, form="recurrent")):
        assert (linear.flops(run).total(Kind.CONTRACTION) - (8 * T * D**2 + 4 * T * D * K)).expand() == 0


def test_a_step_and_the_state_do_not_grow():
    formula = Formula(D=64, H=4)
    for length in (1, 10**6):
        run = Workload(T=length)
        assert formula.step_flops(run).total(Kind.CONTRACTION) == 8 * 64**2 + 4 * 64 * 16
        assert formula.state_bytes(run).total() == 4 * 64 * (16 + 1)


def test_random_features_are_projected_and_widen_the_state():
    formula, run = Formula(D=64, H=4, C=32, R=48, feature="favor"), Workload(T=1024)
    plain = 8 * 1024 * 64**2
    core = 4 * 1024 * 4 * 48 * 16 + 2 * 1024 * 32 * 4 * (48 + 16)
    assert formula.flops(run).total(Kind.CONTRACTION) == plain + 2 * 2 * 1024 * 64 * 48 + core
    assert formula.state_bytes(run).total() == 4 * 4 * 48 * (16 + 1)
    assert Formula(D=64, H=4, feature="favor").R == 4 * 16


@pytest.mark.parametrize("chunk", [16, 64])
def test_attention_costs_more_from_a_head_width_and_a_chunk_on(chunk):
    # 4·T²·D against 4·T·D·K + 4·T·C·D where T is a whole number of chunks.
    ours, theirs = Formula(D=256, H=4, C=chunk), SoftmaxFormula(D=256, H=4, bias=False)

    def surplus(tokens):
        run = Workload(T=tokens)
        return theirs.flops(run).total(Kind.CONTRACTION) - ours.flops(run).total(Kind.CONTRACTION)

    even = 256 // 4 + chunk
    assert surplus(even) == 0
    assert surplus(even - chunk) < 0 < surplus(even + chunk)


# --- what it computes -------------------------------------------------------------------------------------------------


def by_hand(m, q, k, v):
    """Every pair of tokens, masked: softmax's exponential replaced by φ(q)·φ(k)."""
    scores = torch.einsum("bthk,bshk->bhts", q, k)
    if m.config.causal:
        scores = scores.tril()
    y = torch.einsum("bhts,bshv->bthv", scores, v)
    return y / (scores.sum(-1).transpose(1, 2) + m.config.normaliser_epsilon)[..., None] if m.config.normalise else y


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["form"])
@pytest.mark.parametrize("feature", ["elu", "relu", "favor"])
def test_every_pair_by_hand(form, feature):
    m = layer(**form, feature=feature).double()
    x = torch.randn(2, 37, 24, dtype=torch.float64, requires_grad=True)
    q, k, v = m._features(x)
    expected = m.output(by_hand(m, q, k, v).flatten(2))
    ours = m(x)
    assert relative_error(ours, expected) < 1e-12
    seed = torch.randn_like(ours)
    (mine,), (theirs,) = torch.autograd.grad(ours, x, seed), torch.autograd.grad(expected, x, seed)
    assert relative_error(mine, theirs) < 1e-11


def test_both_ways_by_hand():
    m = layer(causal=False).double()
    x = torch.randn(2, 37, 24, dtype=torch.float64)
    assert relative_error(m(x), m.output(by_hand(m, *m._features(x)).flatten(2))) < 1e-12


@pytest.mark.parametrize("length", [1, 75])
def test_against_flash_linear_attention(length):
    loop = naive("linear_attn", "naive_recurrent_linear_attn")
    m = layer(C=16, normaliser_epsilon=1e-10)
    x = torch.randn(2, length, 24, requires_grad=True)
    q, k, v = (project(x).unflatten(-1, (3, 8)) for project in (m.query, m.key, m.value))
    y, _ = loop(F.elu(q) + 1, F.elu(k) + 1, v, scale=1.0, normalize=True)
    ours, theirs = m(x), m.output(y.flatten(2))
    assert relative_error(ours, theirs) < 1e-5
    seed, wanted = torch.randn_like(ours), [x, *m.parameters()]
    ours, theirs = torch.autograd.grad(ours, wanted, seed), torch.autograd.grad(theirs, wanted, seed)
    scale = max(float(g.abs().max()) for g in theirs)  # a single token's weight is 1, so q and k have no gradient
    assert max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)) < 1e-5 * scale


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["form"])
def test_weights_of_the_values_add_up_to_1(form):
    m = layer(**form).double()
    with torch.no_grad():
        m.value.weight.zero_()
        m.value.bias = torch.nn.Parameter(torch.ones(24, dtype=torch.float64))
        m.output.weight.copy_(torch.eye(24))
    assert (m(torch.randn(2, 50, 24, dtype=torch.float64)) - 1).abs().max() < 1e-5  # but for ε


@pytest.mark.parametrize("feature", ["elu", "favor"])
def test_float32_over_2000_tokens(feature):
    length = 2000
    m = layer(C=32, feature=feature)
    x = torch.randn(1, length, 24)
    with torch.no_grad():
        y = m(x)
        assert relative_error(y.double(), m.double().reference(x.double())) < 2e-6 * math.sqrt(length / 64)


# --- the Performer's random features ----------------------------------------------------------------------------------


def softmax_attention(m, x):
    q, k, v = (p(x).unflatten(-1, (m.config.H, -1)).transpose(1, 2) for p in (m.query, m.key, m.value))
    return m.output(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))


def test_random_features_estimate_softmax_attention():
    x = torch.randn(2, 40, 24, dtype=torch.float64)
    errors = []
    for R in (8, 128, 2048):
        m = layer(feature="favor", R=R, C=16).double()
        errors.append(relative_error(m(x), softmax_attention(m, x)))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.1


def test_the_kernel_is_unbiased():
    torch.manual_seed(0)
    q, k = 0.4 * torch.randn(2, 5, 8, dtype=torch.float64)
    random = orthogonal_features(2**15, 8, like=q)
    estimate = favor(q, random, stabilise=False) @ favor(k, random, stabilise=False).T
    assert relative_error(estimate, (q @ k.T / math.sqrt(8)).exp()) < 0.03


def test_random_features_are_orthogonal_within_a_block():
    torch.manual_seed(0)
    block = orthogonal_features(20, 8, like=torch.zeros(1))[:8]
    gram = block @ block.T
    assert relative_error(gram, torch.diag(gram.diagonal())) < 1e-5


def test_random_features_lean_to_no_side():
    # Householder's signs alone would make the first feature of every block point down its first axis.
    torch.manual_seed(0)
    first = orthogonal_features(8 * 1000, 8, like=torch.zeros(1)).view(1000, 8, 8)[:, 0]
    assert first.mean(0).abs().max() < 4 / math.sqrt(1000)
    assert (first.square().mean(0) - 1).abs().max() < 0.2


def test_random_features_are_saved_redrawn_and_not_rounded():
    m, other = layer(feature="favor", R=12), layer(seed=1, feature="favor", R=12)
    x = torch.randn(1, 9, 24)
    other.load_state_dict(m.state_dict())
    assert torch.equal(m(x), other(x))
    other.redraw()
    assert not torch.equal(m(x), other(x))
    assert m.bfloat16().random_RK.dtype == torch.float32
    assert m.double().random_RK.dtype == torch.float64
    with pytest.raises(BadSize, match="redraw was asked of feature='elu'; only 'favor' has random features"):
        layer().redraw()


def test_queries_far_out_do_not_overflow():
    m = layer(feature="favor", R=64)
    x = 40 * torch.randn(1, 30, 24, requires_grad=True)
    y = m(x)
    y.sum().backward()
    assert y.isfinite().all()


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"feature": "identity"}, "similarities that may be negative can sum to 0, so set normalise=False or choose"),
        ({"feature": "favor", "normalise": False}, "random features estimate a softmax, which is a ratio"),
        ({"H": 7}, "width D over heads H: 512 does not divide by 7"),
        ({"C": 1}, "C = 1 was given; chunks of at least 2 tokens are allowed"),
        ({"form": "scan"}, "form = 'scan' was given; choose 'chunked', 'parallel', 'recurrent'"),
    ],
)
def test_what_is_not_allowed_is_told_in_a_sentence(sizes, sentence):
    with pytest.raises(BadSize, match=sentence):
        configure("linear-attention-layer", **sizes)
