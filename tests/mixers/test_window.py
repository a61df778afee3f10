"""Sliding window: pairs and their mask, the papers' costs, dense attention in float64, three other implementations."""

import math

import pytest
import small
import torch
from oracles import assert_agree, copy_weights, relative_error, renamed
from small import AWKWARD

from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.mixers.window import WindowAttention as Formula
from seqcost.layers import LanguageModel, WindowAttention

VARIANTS = (
    small.Variant("window-layer", "window-layer", small.plus(small.heads(), W=(2, 4, 7))),
    small.Variant(
        "window-layer-grouped-rope",
        "window-layer",
        small.plus(small.heads(grouped=True), **small.IN_BLOCKS),
        {"rope": True},
    ),
    small.Variant("window-layer-symmetric", "window-layer", small.plus(small.heads(), W=(3, 4, 7)), {"causal": False}),
    small.Variant(
        "window-layer-dilated",
        "window-layer",
        small.plus(small.heads(), **small.IN_BLOCKS),
        {"dilation": 2, "bias": False},
    ),
    small.Variant(
        "window-layer-symmetric-dilated",
        "window-layer",
        small.plus(small.heads(grouped=True), **small.IN_BLOCKS),
        {"causal": False, "dilation": 3},
    ),
    small.Variant("window", "window", small.plus(small.model(), W=(2, 4, 7))),
)

CASES = [
    {"W": 4},
    {"W": 2, "C": 1},
    {"W": 50},
    {"W": 5, "C": 2},
    {"W": 6, "C": 4, "G": 2, "H": 6, "rope": True},
    {"W": 4, "dilation": 3, "C": 2},
    {"W": 5, "causal": False},
    {"W": 4, "causal": False, "C": 5, "G": 1},
    {"W": 3, "causal": False, "dilation": 2, "C": 3},
]
cases = pytest.mark.parametrize("case", CASES, ids=str)


def mask_of(m, T):
    """The definition: True [T,T] where a query sees a key."""
    apart = torch.arange(T)[:, None] - torch.arange(T)
    steps, fits = apart.abs() // m.dilation, apart % m.dilation == 0
    if m.causal:
        return fits & (apart >= 0) & (steps < m.W)
    return fits & (steps <= (m.W - 1) // 2)


def dense(layer, x):
    """All pairs, the ones out of the window masked."""
    m = layer.config
    q, k, v = layer._projected(x, past=0)
    k, v = (z.repeat_interleave(m.H // m.G, dim=2) for z in (k, v))
    scores = torch.einsum("bthk,bshk->bhts", q, k) / math.sqrt(m.K)
    weights = scores.masked_fill(~mask_of(m, x.shape[1]), -torch.inf).softmax(-1)
    return layer.output(torch.einsum("bhts,bshk->bthk", weights, v).flatten(2))


def made(case, dtype=torch.float64):
    torch.manual_seed(0)
    return WindowAttention(**{"D": 24, "H": 4} | case).to(dtype)


@cases
@pytest.mark.parametrize("T", [1, 2, 5, 16, 33])
def test_equals_dense_attention_in_outputs_and_gradients(case, T):
    layer, x = made(case), torch.randn(2, T, 24, dtype=torch.float64, requires_grad=True)
    ours, theirs = layer(x), dense(layer, x)
    assert relative_error(ours, theirs) < 1e-13
    seed = torch.randn_like(ours)
    wanted = [x, *layer.parameters()]
    mine, other = (torch.autograd.grad(y, wanted, seed) for y in (ours, theirs))
    scale = max(float(g.abs().max()) for g in other)
    assert max(float((a - b).abs().max()) for a, b in zip(mine, other, strict=True)) < 1e-13 * scale


@cases
def test_pairs_are_the_ones_in_the_mask_and_in_the_reference(case):
    layer = made(case)
    for T in (*AWKWARD, 7):
        mask = mask_of(layer.config, T)
        assert layer.config.pairs(T) == int(mask.sum()) <= layer.config.executed_pairs(T)
        assert all(layer.sees(t, T) == mask[t].nonzero().flatten().tolist() for t in range(T))


def test_costs_of_the_papers():
    # A causal window of W ≤ T attends W·T − W(W − 1)/2 pairs, Longformer's w = W − 1 T(w + 1) − w/2(w/2 + 1).
    causal, both = Formula(D=64, H=8, W=256), Formula(D=64, H=8, W=257, causal=False)
    assert causal.pairs(4096) == 256 * 4096 - 256 * 255 // 2
    assert both.pairs(4096) == 4096 * 257 - 128 * 129
    # Whole blocks: twice the pairs of a causal window, one and a half times those of a symmetric one.
    for window, times in ((causal, 2), (both, 3 / 2)):
        attend = next(row for row in window.reading(Workload(T=4096)).rows if row.name == "attend")
        assert attend.contraction == 4 * 64 * window.executed_pairs(4096)
        assert window.executed_pairs(4096) == pytest.approx(times * window.pairs(4096), rel=0.04)
    # Tay et al. 2020, table 1, Longformer: n(k + m), here without its m global tokens. Vaswani et al. 2017, table 1,
    # restricted: r·n·d a layer, a path of n/r.
    D, T, W = (symbols("DTW")[letter] for letter in "DTW")
    layer, run = Formula(D=D, H=8, W=W), Workload(T=T)
    assert (layer.flops(run).leading("T", Kind.CONTRACTION) - (8 * D**2 * T + 8 * W * D * T)).expand() == 0
    assert layer.path_length(Workload(T=4097)).total().subs(W, 257) == 4096 // 256
    assert layer.step_flops(Workload(T=4096)).total(*Kind).subs({W: 64, D: 8}) == (
        layer.step_flops(Workload(T=10**6)).total(*Kind).subs({W: 64, D: 8})
    )


@cases
def test_blocks_change_nothing_but_rounding(case):
    layer = made(case)
    x = torch.randn(2, 45, 24, dtype=torch.float64)
    for C in (1, 3, 8, 64):
        other = made(case | {"C": C})
        assert relative_error(other(x), layer(x)) < 1e-13


@pytest.mark.parametrize("case", [{"W": 64, "H": 2}, {"W": 65, "causal": False, "C": 16, "H": 2}], ids=str)
def test_long_texts_in_float32(case):
    layer = made(case, torch.float32)
    x = 3 * torch.randn(1, 2000, 24)
    with torch.no_grad():
        y = layer(x)
        assert relative_error(y.double(), dense(layer.double(), x.double())) < 2e-6 * math.sqrt(2000 / 64)


def test_the_state_is_what_a_window_needs_and_no_more():
    layer = made({"W": 5, "dilation": 2, "C": 3})
    x = torch.randn(2, 300, 24, dtype=torch.float64)
    _, state = layer.extend(x, layer.init_state(2))
    assert state.k_BPGK.shape[1] == (5 - 1) * 2
    assert state.k_BPGK.untyped_storage().nbytes() * 2 == state.nbytes  # the prompt's memory is let go
    assert state.nbytes == layer.config.state_bytes(Workload(B=2, T=300, itemsize=8)).total()
    _, after = layer.step(x[:, 0], state)
    assert (after.tokens, after.nbytes) == (301, state.nbytes)


@cases
def test_padding_on_either_side_changes_nothing(case):
    if case.get("rope"):
        pytest.skip("a text that begins later is turned by other angles")
    layer = made(case)
    x = torch.randn(2, 23, 24, dtype=torch.float64)
    keep = torch.zeros(2, 23, dtype=torch.bool)
    keep[0, 6:], keep[1, :11] = True, True
    with torch.no_grad():
        y = layer(x, keep=keep)
        assert relative_error(y[0, 6:], layer(x[:1, 6:])[0]) < 1e-13
        assert relative_error(y[1, :11], layer(x[1:, :11])[0]) < 1e-13
    assert y.isfinite().all()


def test_sizes_that_are_refused():
    with pytest.raises(BadSize, match="W = 1 was given, the token itself included; at least 2 is allowed"):
        Formula(D=16, H=2, W=1)
    with pytest.raises(BadSize, match="W = 2 was given, the token itself included; at least 3 is allowed"):
        Formula(D=16, H=2, W=2, causal=False)
    with pytest.raises(BadSize, match="dilation = 0"):
        Formula(D=16, H=2, W=4, dilation=0)


def mistral(layers):
    """`MistralForCausalLM` against the language model over our window: pre-norm, RMS, SwiGLU, no biases."""
    pairs = {"embedding": "model.embed_tokens", "norm.norm": "model.norm", "head": "lm_head"}
    for i in range(layers):
        ours, theirs = f"blocks.{i}", f"model.layers.{i}"
        pairs |= {
            f"{ours}.mixer.inner.norm.norm": f"{theirs}.input_layernorm",
            f"{ours}.mixer.inner.inner.query": f"{theirs}.self_attn.q_proj",
            f"{ours}.mixer.inner.inner.key": f"{theirs}.self_attn.k_proj",
            f"{ours}.mixer.inner.inner.value": f"{theirs}.self_attn.v_proj",
            f"{ours}.mixer.inner.inner.output": f"{theirs}.self_attn.o_proj",
            f"{ours}.feed_forward.inner.norm.norm": f"{theirs}.post_attention_layernorm",
            f"{ours}.feed_forward.inner.inner.gate": f"{theirs}.mlp.gate_proj",
            f"{ours}.feed_forward.inner.inner.up": f"{theirs}.mlp.up_proj",
            f"{ours}.feed_forward.inner.inner.down": f"{theirs}.mlp.down_proj",
        }
    return renamed(pairs, bias=False)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_equals_mistral_whole_and_cached():
    transformers = pytest.importorskip("transformers", reason="Hugging Face's Mistral")
    torch.manual_seed(0)
    sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 24, "num_key_value_heads": 2, "sliding_window": 9, "rms_norm_eps": 1e-5}
    theirs = transformers.MistralForCausalLM(transformers.MistralConfig(**sizes, rope_theta=10000.0))
    with torch.no_grad():
        for weight in theirs.parameters():
            weight += 0.2 * torch.randn_like(weight)
    ours = LanguageModel(
        mixer="window", U=50, D=16, L=2, H=4, G=2, F=24, W=9, C=4, rope=True, bias=False, tied=False, positions="none"
    )
    ids = torch.randint(0, 50, (2, 40))
    copy_weights(ours, theirs, mistral(2))
    assert_agree(ours, theirs, mistral(2), (ours(ids), theirs(ids).logits))
    with torch.no_grad():
        first = theirs(ids[:, :25], use_cache=True)
        second = theirs(ids[:, 25:], past_key_values=first.past_key_values)
        _, state = ours.extend(ids[:, :25], ours.init_state(2))
        y, _ = ours.extend(ids[:, 25:], state)
    assert relative_error(y, second.logits) < 1e-5


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_equals_longformer_whose_window_leaves_the_token_out():
    longformer = pytest.importorskip("transformers.models.longformer.modeling_longformer", reason="Longformer")
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_attention_heads": 4, "attention_window": [8], "num_hidden_layers": 1}
    config = longformer.LongformerConfig(**sizes, attention_probs_dropout_prob=0.0)
    theirs = longformer.LongformerSelfAttention(config, 0)
    ours = WindowAttention(D=24, H=4, W=8 + 1, causal=False)
    names = {name: name for name in ("query", "key", "value")}
    with torch.no_grad():
        for name in names:
            getattr(ours, name).load_state_dict(getattr(theirs, name).state_dict())
        ours.output.weight.copy_(torch.eye(24))  # theirs ends before the output projection
        ours.output.bias.zero_()
    x = torch.randn(2, 48, 24, requires_grad=True)
    keep = torch.arange(48) < torch.tensor([[48], [37]])
    their_y = theirs(
        x, attention_mask=(~keep) * -10000.0, is_index_masked=~keep, is_index_global_attn=~keep & False,
        is_global_attn=False,
    )[0]  # fmt: skip
    our_y = ours(x, keep=keep)
    weight = torch.randn(2, 48, 24) * keep[..., None]
    mine, other = (torch.autograd.grad((y * weight).sum(), [x, *projections(m)])
                   for y, m in ((our_y, ours), (their_y, theirs)))  # fmt: skip
    assert relative_error(our_y[keep], their_y[keep]) < 1e-6
    scale = max(float(g.abs().max()) for g in other)
    assert max(float((a - b).abs().max()) for a, b in zip(mine, other, strict=True)) < 1e-6 * scale


def projections(layer):
    return [getattr(layer, name).weight for name in ("query", "key", "value")]


@pytest.mark.parametrize("causal", [True, False])
def test_equals_local_attention_whose_window_leaves_the_token_out(causal):
    local_attention = pytest.importorskip("local_attention", reason="lucidrains' local-attention")
    theirs = local_attention.LocalAttention(window_size=6, causal=causal, exact_windowsize=True, dim=None)
    ours = made({"W": 7 if causal else 13, "causal": causal, "C": 4})
    x = torch.randn(2, 42, 24, dtype=torch.float64)
    q, k, v = (z.transpose(1, 2) for z in ours._projected(x, past=0))
    y = ours.output(theirs(q, k, v).transpose(1, 2).flatten(2))
    assert relative_error(ours(x), y) < 1e-12


def test_the_comparison_with_dense_attention_can_fail():
    layer, x = made({"W": 4}), torch.randn(2, 16, 24, dtype=torch.float64)
    wider = made({"W": 5})
    assert relative_error(wider(x), dense(layer, x)) > 1e-3
