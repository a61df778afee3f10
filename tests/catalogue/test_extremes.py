"""Numbers near the ends of their formats: against loops in float64, written out here."""

from operator import attrgetter

import pytest
import torch
from oracles import relative_error
from strategies import KINDS, typical

from seqcost.formulas.catalogue import configure
from seqcost.layers import LinearAttention, RgLru
from seqcost.layers.mixers.linear_attention import favor
from seqcost.layers.ops.row_norms import rms_norm

every_kind = pytest.mark.parametrize("variant", KINDS, ids=attrgetter("id"))


@every_kind
def test_left_padding_in_float16(variant, bench):
    """A query that sees nothing but padding has scores that, added to the least number, are −∞ in float16."""
    layer = bench.layer(typical(variant))
    if not layer.takes_keep:
        return
    inputs = bench.inputs(layer, 2, 9, 3)
    keep = torch.ones(2, 9, dtype=torch.bool)
    keep[0, :4] = False
    with torch.no_grad():
        exact = layer(*inputs, keep=keep)
        half = layer.half()(*(x.half() if x.is_floating_point() else x for x in inputs), keep=keep)
    assert half.isfinite().all()
    if exact.dim() == 3 and "lsh" not in variant.id and "reformer" not in variant.id:  # rounding moves tokens to others
        assert (half.float() - exact)[1].norm() < 0.02 * exact[1].norm()


@every_kind
def test_scores_far_below_zero_in_float16(variant, bench):
    layer = bench.layer(typical(variant)).half()
    if not layer.takes_keep:
        return
    inputs = [x * 8 if x.is_floating_point() else x for x in bench.inputs(layer, 2, 9, 3, torch.float16)]
    keep = torch.ones(2, 9, dtype=torch.bool)
    keep[0, :4] = False
    assert not layer(*inputs, keep=keep).isnan().any()


@pytest.mark.parametrize("gate", [-2000.0, -200.0, -95.0, -60.0, 60.0, 200.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rg_lru_where_its_gate_is_shut_or_open(gate, dtype, bench):
    """A shut gate keeps the state as it is: √(1 − a²) is 0, its slope is infinite, and the slope of both is 0."""
    layer = bench.layer(configure("rg-lru-layer", D=4), dtype)
    with torch.no_grad():
        layer.gates.bias[:4] = gate
    x = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    found = torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])
    assert all(g.isfinite().all() for g in found)

    # The same where no root is ever of 0: −expm1(2 log a) is −2 log a there to the last digit, and its root a product
    # of roots, which for a shut gate r is e^{r/2}.
    wide = RgLru(layer.config).double()
    wide.load_state_dict(layer.double().state_dict())
    D, z = 4, x.detach().double().requires_grad_()
    r, i = wide.gates(z).chunk(2, dim=-1)
    rate = 8 * torch.nn.functional.softplus(wide.decay)
    log_a = -rate * r.sigmoid()
    share = (2 * rate).sqrt() * (r / 2).exp() if gate < -40 else (-torch.expm1(2 * log_a)).sqrt()
    h, rows = torch.zeros(2, D, dtype=torch.float64), []
    for t in range(9):
        h = log_a[:, t].exp() * h + share[:, t] * i[:, t].sigmoid() * z[:, t]
        rows.append(h)
    exact = torch.autograd.grad(torch.stack(rows, 1).square().sum(), [z, *wide.parameters()])
    scale = max(float(g.abs().max()) for g in exact)
    for ours, theirs in zip(found, exact, strict=True):
        assert (ours.double() - theirs).abs().max() <= 1e-5 * scale + 1e-30


@pytest.mark.parametrize("form", ["chunked", "parallel", "recurrent"])
@pytest.mark.parametrize("scale", [1.0, 3.0, 4.0])
def test_random_features_of_large_keys_keep_their_mass(form, scale, bench):
    """Features of a key of length 30 are e^{−40} or so: ε = 1e-6 beside their sum leaves 0.1 of the result."""
    layer = bench.layer(configure("linear-attention-layer", D=32, H=2, feature="favor", form=form, C=8))
    with torch.no_grad():
        layer.key.weight.normal_(0, scale * 32**-0.5)
        x = torch.randn(1, 21, 32, generator=torch.Generator().manual_seed(1))
        ours = layer(x)
        wide = LinearAttention(layer.config).double()
        wide.load_state_dict(layer.state_dict())
        q, k, v = (f(x.double()).unflatten(-1, (2, 16)) for f in (wide.query, wide.key, wide.value))
        q, k = (favor(z, wide.random_RK, stabilise=query) for z, query in ((q, True), (k, False)))
        weights = torch.einsum("bthr,bshr->bhts", q, k).tril()
        weights = weights / weights.sum(-1, keepdim=True)  # they add up to 1
        exact = wide.output(torch.einsum("bhts,bshv->bthv", weights, v).flatten(2))
    assert relative_error(ours.double(), exact) < 2e-5


def test_random_features_stay_float32_at_least():
    layer = LinearAttention(D=8, H=2, feature="favor").double().half()
    assert layer.random_RK.dtype == torch.float32
    assert layer(torch.randn(1, 5, 8).half()).isfinite().all()


@pytest.mark.parametrize("name", ["ttt-linear-layer", "ttt-mlp-layer"])
def test_ttt_at_zero(name, bench):
    """The inner norm's slope there is 1/√ε, so gradients grow without end over the mini-batches; they are no NaN."""
    layer = bench.layer(configure(name, D=8, H=2), torch.float64)
    x = torch.zeros(1, 128, 8, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    assert y.isfinite().all()
    assert all(g.isfinite().all() for g in torch.autograd.grad(y.square().sum(), [x, *layer.parameters()]))
    assert layer.float()(x.float()).isfinite().all()


@pytest.mark.parametrize("name", ["mamba2-layer", "gla-layer", "deltanet-layer", "gated-deltanet-layer"])
@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1.0, 1e4, 1e6])
def test_rows_are_normalised_whatever_their_size(name, scale, bench):
    """Mamba-2's gated outputs are products of five features: their squares are beyond float32 at inputs of 1e4."""
    variant = next(v for v in KINDS if v.id == name)
    layer = bench.layer(typical(variant))
    with torch.no_grad():
        for weight in layer.parameters():
            if weight.dim() == 2:
                weight *= 3
    (x,) = bench.inputs(layer, 1, 9, 0)
    x = x.detach() * scale
    with torch.no_grad():
        ours = layer(x)
        exact = layer.double().reference(x.double())
    assert relative_error(ours.double(), exact) < 1e-4


@pytest.mark.parametrize("size", [1e-20, 1e-3, 1.0, 1e10, 1e18, 1e30])
def test_a_mean_square_and_its_slope(size):
    x = (torch.randn(3, 8, generator=torch.Generator().manual_seed(0)) * size).requires_grad_()
    g = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    y = rms_norm(x, 1e-5)
    z = x.detach().double().requires_grad_()
    exact = z / (z.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    assert relative_error(y.double(), exact) < 1e-6
    ours, theirs = torch.autograd.grad(y, x, g)[0], torch.autograd.grad(exact, z, g.double())[0]
    assert relative_error(ours.double(), theirs) < 1e-5
