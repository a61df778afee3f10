"""ETC: dense attention with every label and mask written out; the identity with standard attention; costs."""

import math

import pytest
import small
import torch
import torch.nn.functional as F
from oracles import relative_error

from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.mixers.etc import Etc as Formula
from seqcost.layers import Etc

VARIANTS = (
    small.Variant("etc-layer", "etc-layer", small.plus(small.heads(), **small.ETC)),
    small.Variant(
        "etc-layer-unbiased", "etc-layer", small.plus(small.heads(free=True), **small.ETC, C=(2, 3, 5)), {"bias": False}
    ),
    small.Variant("etc", "etc", small.plus(small.model(), **small.ETC)),
)

CASES = [
    {"W": 5, "N": 2, "R": 2},
    {"W": 8, "N": 5, "R": 1, "C": 3},
    {"W": 3, "N": 3, "R": 12, "C": 7},
    {"W": 99, "N": 1},
]
cases = pytest.mark.parametrize("case", CASES, ids=str)


def made(case, dtype=torch.float64):
    torch.manual_seed(0)
    layer = Etc(**{"D": 24, "H": 3} | case)
    with torch.no_grad():
        for name in ("label_biases_long", "label_biases_global"):
            getattr(layer, name).normal_()
    return layer.to(dtype)


def piece(layer, kind, asking, side, x):
    """q (k + a) + u of all pairs [B,H,Q,N+T], labels and values; the distances' labels only."""
    m, N, T = layer.config, side.shape[1], x.shape[1]

    def heads(name, z):
        return getattr(layer, name)(z).unflatten(-1, (m.H, m.K))

    q, letter = heads(f"query_{kind}", asking), kind[0]
    k, v = (torch.cat([heads(f"{n}_{letter}2g", side), heads(f"{n}_{letter}2l", x)], 1) for n in ("key", "value"))
    size = asking.shape[1]
    apart = torch.arange(size) - torch.arange(size)[:, None]
    same, other = apart.clamp(-m.R, m.R) + m.R, torch.full((size, T if kind == "global" else N), 2 * m.R + 1)
    labels = torch.cat([same, other] if kind == "global" else [other, same], 1)
    return q, k, v, labels.expand(x.shape[0], size, N + T)


def finished(layer, kind, q, k, v, labels, seen):
    m = layer.config
    a, u = getattr(layer, f"labels_{kind}")[labels], getattr(layer, f"label_biases_{kind}")[labels]  # [B,Q,S,H,(K)]
    scores = torch.einsum("bqhk,bshk->bhqs", q, k) + torch.einsum("bqhk,bqshk->bhqs", q, a) + u.permute(0, 3, 1, 2)
    weights = (scores / math.sqrt(m.K)).masked_fill(~seen.unsqueeze(1), -torch.inf).softmax(-1)
    return getattr(layer, f"output_{kind}")(torch.einsum("bhqs,bshk->bqhk", weights, v).flatten(2))


def halves(layer, x, side, keep=None, sentences=None):
    """The paper's layer: what long tokens and global ones become, from x and the global tokens `side`."""
    m, (B, T), N = layer.config, x.shape[:2], side.shape[1]
    keep = torch.ones(B, T, dtype=torch.bool) if keep is None else keep
    near = (torch.arange(T)[:, None] - torch.arange(T)).abs() <= (m.W - 1) // 2
    globals_seen = torch.ones(B, T, N, dtype=torch.bool)
    longs_seen = keep[:, None].expand(B, N, T)
    q, k, v, labels = piece(layer, "global", side, side, x)
    long_q, long_k, long_v, long_labels = piece(layer, "long", x, side, x)
    if sentences is not None:
        own = F.one_hot(sentences, N)  # [B,T,N]
        labels, long_labels = labels.clone(), long_labels.clone()
        labels[:, :, N:] += own.transpose(1, 2)
        long_labels[:, :, :N] += own
        if m.hard_g2l:
            longs_seen = longs_seen & own.transpose(1, 2).bool()
    seen = torch.cat([torch.ones(B, N, N, dtype=torch.bool), longs_seen], 2)
    y_global = finished(layer, "global", q, k, v, labels, seen)
    long_seen = torch.cat([globals_seen, near & keep[:, None]], 2)
    return finished(layer, "long", long_q, long_k, long_v, long_labels, long_seen), y_global


def whole(layer, x, **given):
    side = layer.memory.expand(x.shape[0], -1, -1)
    side = side + halves(layer, x, side, **given)[1]
    return halves(layer, x, side, **given)[0]


@cases
@pytest.mark.parametrize("T", [1, 2, 7, 30])
def test_equals_dense_attention_in_outputs_and_gradients(case, T):
    layer, x = made(case), torch.randn(2, T, 24, dtype=torch.float64, requires_grad=True)
    ours, theirs = layer(x), whole(layer, x)
    assert relative_error(ours, theirs) < 1e-13
    seed = torch.randn_like(ours)
    wanted = [x, *layer.parameters()]
    mine, other = (torch.autograd.grad(y, wanted, seed, materialize_grads=True) for y in (ours, theirs))
    scale = max(float(g.abs().max()) for g in other)
    assert max(float((a - b).abs().max()) for a, b in zip(mine, other, strict=True)) < 1e-13 * scale


@cases
@pytest.mark.parametrize("hard", [False, True])
def test_sentences_and_padding_and_both_sequences(case, hard):
    layer = made(case | {"hard_g2l": hard})
    x, side = torch.randn(3, 23, 24, dtype=torch.float64), torch.randn(3, 4, 24, dtype=torch.float64)
    keep = torch.arange(23) < torch.tensor([[23], [9], [14]])
    sentences = torch.randint(0, 4, (3, 23))
    with torch.no_grad():
        for ours, theirs in zip(
            layer.both(x, side, keep=keep, sentences=sentences),
            halves(layer, x, side, keep=keep, sentences=sentences),
            strict=True,
        ):
            assert relative_error(ours[0], theirs[0]) < 1e-13
        names = sentences % layer.config.N
        y = layer(x, keep=keep, sentences=names)
        assert relative_error(y[keep], whole(layer, x, keep=keep, sentences=names)[keep]) < 1e-13
        for i, length in enumerate((23, 9, 14)):
            alone = layer(x[i : i + 1, :length], sentences=names[i : i + 1, :length])
            assert relative_error(y[i, :length], alone[0]) < 1e-13


def test_with_shared_projections_and_a_wide_window_it_is_standard_attention():
    # FusedGlobalLocalAttention's docstring: r covers the long input, projections shared, no labels.
    layer, torchs = made({"W": 99, "N": 4}), torch.nn.MultiheadAttention(24, 3, batch_first=True, dtype=torch.float64)
    torch.nn.init.normal_(torchs.in_proj_bias)
    with torch.no_grad():
        for name, module in layer.named_children():
            if name.startswith("output"):
                module.load_state_dict(torchs.out_proj.state_dict())
            else:
                part = ("query", "key", "value").index(name.split("_")[0])
                module.weight.copy_(torchs.in_proj_weight.chunk(3)[part])
                module.bias.copy_(torchs.in_proj_bias.chunk(3)[part])
        for name in ("labels_long", "labels_global", "label_biases_long", "label_biases_global"):
            getattr(layer, name).zero_()
    x, side = torch.randn(2, 20, 24, dtype=torch.float64), torch.randn(2, 4, 24, dtype=torch.float64)
    every = torch.cat([side, x], 1)
    expected = torchs(every, every, every, need_weights=False)[0]
    y_long, y_global = layer.both(x, side)
    assert relative_error(torch.cat([y_global, y_long], 1), expected) < 1e-13


@cases
def test_blocks_change_nothing_but_rounding(case):
    layer, x = made(case), torch.randn(2, 45, 24, dtype=torch.float64)
    for C in (1, 2, 16, 64):
        assert relative_error(made(case | {"C": C})(x), layer(x)) < 1e-13


def test_far_tokens_reach_each_other_by_way_of_the_global_ones():
    layer, x = made({"W": 3, "N": 2}), torch.randn(1, 40, 24, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.grad(layer(x)[0, 0].sum(), x)[0][0, 39].abs().max() > 1e-8


@cases
def test_pairs_are_the_ones_in_the_mask(case):
    m = Formula(**{"D": 24, "H": 3} | case)
    for T in (1, 2, 3, 16, 63, 100):
        near = (torch.arange(T)[:, None] - torch.arange(T)).abs() <= (m.W - 1) // 2
        assert m.pairs(T) == int(near.sum()) + 2 * T * m.N + m.N**2 <= m.executed_pairs(T)


def test_costs_of_the_paper():
    D, T, N = (symbols("DTN")[letter] for letter in "DTN")
    W, H, R = 169, 12, 12
    r, labels = (W - 1) // 2, 2 * R + 3
    layer, run = Formula(D=D, H=H, W=W, N=N, R=R), Workload(T=T)
    # Twelve projections, labels of two kinds; and the table of global tokens, which the paper takes as an input.
    assert (layer.params().total() - (12 * (D**2 + D) + 2 * labels * (D + H) + N * D)).expand() == 0
    # Six products with D² a long token, six a global one.
    # Tay et al. 2020, table 1: N_g² + N·N_g, besides a window. What is multiplied: blocks of r + 1 see three of them.
    at = {T: 50 * (r + 1), D: 64 * H}
    pairs = 3 * (r + 1) * T + 2 * T * N + N**2
    expected = 12 * (T + N) * D**2 + 4 * D * pairs + 2 * D * labels * (T + N)
    assert (layer.flops(run).only(Kind.CONTRACTION).total() - expected).subs(at).expand() == 0
    assert (layer.executed_pairs(50 * (r + 1)) - pairs.subs(at)).expand() == 0
    exact = T * (2 * r + 1) - r * (r + 1) + 2 * T * N + N**2
    assert (Formula(D=64, H=4, W=W, N=N).pairs(4096) - exact.subs(T, 4096)).expand() == 0


def test_long_texts_in_float32():
    layer = made({"W": 65, "N": 8}, torch.float32)
    x = 2 * torch.randn(1, 2000, 24)
    with torch.no_grad():
        y = layer(x)
        assert relative_error(y.double(), layer.double()(x.double())) < 1e-5


def test_sizes_that_are_refused():
    with pytest.raises(BadSize, match="W = 2 was given, the token itself included; at least 3 is allowed"):
        Formula(D=16, H=2, W=2, N=1)
    with pytest.raises(BadSize, match=r"global tokens of shape \(2, 3, 5\) was given"):
        made({"W": 3, "N": 1}).both(torch.randn(2, 3, 24).double(), torch.randn(2, 3, 5))
