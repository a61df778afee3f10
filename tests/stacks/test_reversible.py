"""Reversible layers: the gradients of ordinary ones, nothing kept but the result, every sublayer run once more."""

from operator import attrgetter

import pytest
import torch
from oracles import relative_error
from strategies import KINDS, typical
from torch import nn

from seqcost.algebra import Kind
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import CATALOGUE, classifier, language_model
from seqcost.formulas.mixers.attention import Attention
from seqcost.formulas.mixers.gru import Gru
from seqcost.formulas.parts.feed_forward import FeedForward
from seqcost.formulas.parts.norm import Norm
from seqcost.formulas.stacks.chain import Chain
from seqcost.formulas.stacks.reversible import Reversible, ReversibleBlock
from seqcost.layers import build
from seqcost.programs import Target
from seqcost.trace import trace

SMALL = {
    "attention": {"H": 2},
    "gru": {},
    "lstm": {},
    "lsh": {"H": 2, "C": 4, "E": 4, "R": 2},
    "gru attention": {"H": 2},
}
every_mixer = pytest.mark.parametrize("mixer", SMALL)
T = 9


def model(mixer="attention", seed=0, **sizes):
    torch.manual_seed(seed)
    given = {"U": 11, "D": 12, "F": 10, "L": 2, "reversible": True, "tied": False} | SMALL[mixer]
    return build(language_model(mixer, **given | sizes))


def stack(mixer="attention", **sizes):
    """The reversible layers alone: [B,T,12] → [B,T,24]."""
    return model(mixer, **sizes).get_submodule("blocks")


def features(B=2, dtype=torch.float64):
    return torch.randn(B, T, 12, dtype=dtype, requires_grad=True)


def gradients(layer, y, x):
    seed = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(y.dtype)
    return torch.autograd.grad(y, [x, *layer.parameters()], seed)


def ordinary(layer, x):
    """The same equations with everything kept."""
    x1 = x2 = x
    for block in layer.children():
        x1 = x1 + block.mixer(x2)
        x2 = x2 + block.feed_forward(x1)
    return torch.cat([x1, x2], dim=-1)


def worst(mine, others):
    scale = max(float(g.abs().max()) for g in others)
    return max(float((a - b).abs().max()) for a, b in zip(mine, others, strict=True)) / scale


@every_mixer
def test_gradients_are_those_of_ordinary_layers(mixer):
    layer, x = stack(mixer).double(), features()
    rebuilt, kept = layer(x), layer.reference(x)
    assert relative_error(rebuilt, kept) < 1e-12
    assert worst(gradients(layer, rebuilt, x), gradients(layer, kept, x)) < 1e-10


WIDTH_STAYS = [v for v in KINDS if CATALOGUE[v.name].group == "mixer" and not typical(v).takes_source]
WIDTH_STAYS = [v for v in WIDTH_STAYS if typical(v).width_in == typical(v).width_out]


@pytest.mark.parametrize("variant", WIDTH_STAYS, ids=attrgetter("id"))
def test_any_mixer_of_the_catalogue(variant):
    mixer = typical(variant)
    block = ReversibleBlock(mixer=mixer, feed_forward=FeedForward(D=mixer.D, F=6))
    torch.manual_seed(0)
    layer = build(Reversible(blocks=(block,), times=2)).double()
    x = torch.randn(2, T, mixer.D, dtype=torch.float64, requires_grad=True)
    rebuilt, kept = layer(x), ordinary(layer, x)
    assert relative_error(rebuilt, kept) < 1e-12
    assert worst(gradients(layer, rebuilt, x), gradients(layer, kept, x)) < 1e-9


@every_mixer
def test_any_split_equals_the_whole(mixer):
    whole = model(mixer).double()
    ids = torch.randint(0, 11, (2, T))
    y, state, pieces = whole(ids), whole.init_state(2), []
    for piece in ids.split([0, 3, 1, 5], dim=1):
        part, state = whole.extend(piece, state)
        pieces.append(part)
    assert relative_error(torch.cat(pieces, 1), y) < 1e-12
    state, steps = whole.init_state(2), []
    for token in ids.unbind(1):
        part, state = whole.step(token, state)
        steps.append(part)
    assert relative_error(torch.stack(steps, 1), y) < 1e-12


@every_mixer
def test_equals_reformer_pytorch(mixer):
    theirs = pytest.importorskip("reformer_pytorch.reversible", reason="oracle of tests/oracles.txt")
    layer, x = stack(mixer).double(), features()
    pairs = [nn.ModuleList(block.sublayers) for block in layer.children()]
    other = theirs.ReversibleSequence(nn.ModuleList(pairs))
    y = layer(x)
    mine = gradients(layer, y, x)
    z = x.detach().clone().requires_grad_()
    their_y = other(torch.cat([z, z], dim=-1), arg_route=(False, False))
    assert relative_error(y, their_y) < 1e-12
    their_y.backward(torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=y.dtype))
    assert worst(mine, [z.grad, *(weight.grad for weight in layer.parameters())]) < 1e-10


# --- memory and cost ------------------------------------------------------------------------------------------------


def kept_bytes(layer, x):
    owned, kept = {t.untyped_storage()._cdata for t in (*layer.parameters(), *layer.buffers())}, {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in owned:
            kept[storage._cdata] = (storage.nbytes(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(x)
    return sum(nbytes for nbytes, _ in kept.values()), y


def test_what_is_kept_does_not_grow_with_depth():
    for L in (1, 3, 8):
        layer = stack(L=L)
        assert kept_bytes(layer, features(dtype=torch.float32))[0] == 2 * 2 * T * 12 * 4
        assert layer.config.saved_bytes(Workload(B=2, T=T)).total() == 2 * 2 * T * 12 * 4


def peak(L, *, reversible):
    config = language_model("attention", U=11, D=12, F=10, H=2, L=L, tied=False, reversible=reversible)
    traced = trace(Target("model", lambda: build(config), own_mode=True), phase="train", B=8, T=64, lengths=())
    assert not traced.uncounted
    return traced.peak_bytes - 8 * traced.params  # weights and their gradients


def test_the_peak_of_training_does_not_grow_with_depth():
    assert peak(6, reversible=True) == peak(2, reversible=True)
    assert peak(6, reversible=False) > 2 * peak(2, reversible=False)


def test_backward_is_a_forward_and_a_backward_pass():
    run, plain = Workload(B=2, T=T), language_model("gru", U=11, D=12, F=10, L=3)
    config = language_model("gru", U=11, D=12, F=10, L=3, tied=False, reversible=True)

    def of_blocks(bill):
        return bill.select("blocks").total(Kind.CONTRACTION)

    assert of_blocks(config.flops(run)) == of_blocks(plain.flops(run))
    assert of_blocks(config.backward_flops(run)) == of_blocks(plain.backward_flops(run)) + of_blocks(plain.flops(run))


# --- what must not go wrong when a sublayer runs twice --------------------------------------------------------------


class Dropping(nn.Module):
    """A sublayer that draws random numbers, by a function rather than a module."""

    takes_source = takes_keep = False

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return nn.functional.dropout(self.inner(x), 0.5)

    reference = forward


def test_dropout_is_drawn_again():
    layer, x = stack(L=3).double(), features()
    for block in layer.children():
        block.mixer, block.feed_forward = Dropping(block.mixer), Dropping(block.feed_forward)
    torch.manual_seed(4)
    kept = layer.reference(x)
    torch.manual_seed(4)
    rebuilt = layer(x)
    assert torch.equal(kept, rebuilt)
    expected = gradients(layer, kept, x)
    before = torch.get_rng_state()
    assert worst(gradients(layer, rebuilt, x), expected) < 1e-12
    assert torch.equal(torch.get_rng_state(), before)


def test_weights_of_a_functional_call_are_those_differentiated():
    layer, x = stack().double(), features()
    others = {name: (2 * weight).detach().requires_grad_() for name, weight in layer.named_parameters()}
    y = torch.func.functional_call(layer, others, (x,))
    expected = torch.func.functional_call(_Reference(layer), {f"layer.{n}": w for n, w in others.items()}, (x,))
    seed = torch.randn_like(y)
    mine = torch.autograd.grad(y, [x, *others.values()], seed)
    assert worst(mine, torch.autograd.grad(expected, [x, *others.values()], seed)) < 1e-10


class _Reference(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer.reference(x)


def test_frozen_weights_and_inputs():
    layer, x = stack().double(), features()
    full = gradients(layer, layer(x), x)
    frozen = next(layer.parameters()).requires_grad_(False)
    y = layer(x.detach())
    seed = torch.randn(y.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y.backward(seed)
    assert frozen.grad is None
    assert worst([weight.grad for weight in layer.parameters() if weight.requires_grad], full[2:]) < 1e-12
    assert not layer(x.detach()).detach().requires_grad
    with torch.no_grad():
        assert torch.equal(layer(x), y)


def test_under_autocast_the_second_run_is_the_first():
    layer, x = stack(), features(dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        kept, rebuilt = ordinary(layer, x), layer(x)
    expected, mine = gradients(layer, kept, x), gradients(layer, rebuilt, x)
    assert worst(mine, expected) < 1e-3
    exact = gradients(layer, ordinary(layer, x), x)
    assert worst(mine, exact) > 3e-3  # bfloat16 was used in backward


def test_a_mask_reaches_the_mixers():
    layer, x = stack("lsh", causal=False).double(), features()
    keep = torch.arange(T).expand(2, T) < 6
    assert layer.takes_keep
    assert relative_error(layer(x, keep=keep)[:, :6], layer(x[:, :6])) < 1e-12
    assert relative_error(layer(x)[:, :6], layer(x[:, :6])) > 1e-3
    with pytest.raises(BadSize, match="causal=False"):
        layer.init_state(2)


@pytest.mark.parametrize(("dtype", "least", "most"), [(torch.float32, 0, 1e-4), (torch.bfloat16, 1e-2, 1)])
def test_rounding_is_not_undone(dtype, least, most):
    # 16 layers: what is rebuilt differs from what was by the roundings of the sums, and so do the gradients.
    layer = stack(L=16).to(dtype)
    x = features(dtype=dtype)
    error = worst(gradients(layer, layer(x), x), gradients(layer, ordinary(layer, x), x))
    assert least <= error < most


# --- what is refused ------------------------------------------------------------------------------------------------


def test_what_is_no_reversible_model():
    with pytest.raises(BadSize, match="set tied=false"):
        language_model("gru", reversible=True)
    with pytest.raises(BadSize, match="set order='pre' and F of at least 1"):
        language_model("gru", reversible=True, tied=False, order="post")
    with pytest.raises(BadSize, match="set order='pre' and F of at least 1"):
        language_model("gru", reversible=True, tied=False, F=0)
    with pytest.raises(BadSize, match="both streams take equal widths only"):
        Reversible(blocks=(ReversibleBlock(mixer=Gru(D=8, N=9), feed_forward=Norm(D=8)),))
    cross = Chain.of(mixer=Attention(D=8, H=2, cross=True, causal=False))
    with pytest.raises(BadSize, match="which reads a source"):
        Reversible(blocks=(ReversibleBlock(mixer=cross, feed_forward=Norm(D=8)),))


def test_a_classifier_reads_both_streams():
    config = classifier("lsh", U=11, D=12, H=2, F=10, L=2, C=4, M=16, reversible=True)
    layer = build(config)
    assert layer(torch.randint(0, 11, (2, T))).shape == (2, 2)
    assert sum(weight.numel() for weight in layer.parameters()) == config.params().total()
