"""Retention: published counts, flash-linear-attention's parallel form, and the normalisations that change nothing."""

import math

import pytest
import small
import torch
from fla_loops import naive
from oracles import relative_error
from torch.nn import functional as F

import seqcost
from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.mixers.retnet import RetNet as Formula
from seqcost.layers import RetNet

VARIANTS = (
    small.Variant("retnet-layer", "retnet-layer", small.heads(), {"C": 4}),
    small.Variant("retnet", "retnet", small.model(), {"C": 4}),
)

D, H, C, T = symbols("DHCT").values()


def layer(**sizes):
    torch.manual_seed(0)
    return RetNet(**{"D": 24, "H": 3, "C": 16} | sizes)


def test_parameters():
    assert Formula(D=D, H=H).params().total() == 8 * D**2


def test_leading_terms():
    # Values are twice as wide as keys: 2·T·C·(K + 2K)·H for the pairs, 4·T·K·2K·H for the state.
    flops = Formula(D=D, H=H, C=C).flops(Workload(T=T)).leading("T", Kind.CONTRACTION)
    assert (flops - (16 * T * D**2 + 8 * T * D * D / H + 6 * T * C * D)).expand() == 0


def test_a_step_and_the_state_do_not_grow():
    formula = Formula(D=64, H=4)
    for length in (1, 10**6):
        run = Workload(T=length)
        assert formula.step_flops(run).total(Kind.CONTRACTION) == 16 * 64**2 + 8 * 64 * 16
        assert formula.state_bytes(run).total() == 4 * 2 * 64 * 16


def test_decays_of_equation_8():
    assert torch.allclose(layer().double().log_decay.exp(), torch.tensor([31 / 32, 63 / 64, 127 / 128]).double())
    assert layer().bfloat16().log_decay.dtype == torch.float32


def turned(x, base=10000.0):
    """Features i and i + K/2 as one complex number times e^{i t θ}."""
    length, half = x.shape[1], x.shape[-1] // 2
    theta = base ** (-torch.arange(half, dtype=torch.float64) / half)
    phase = torch.polar(torch.ones(length, half, dtype=torch.float64), torch.arange(length)[:, None] * theta)
    z = torch.complex(x[..., :half].double(), x[..., half:].double()) * phase[:, None]
    return torch.cat([z.real, z.imag], -1).to(x.dtype)


def heads(m, x):
    q, k = (turned(p(x).unflatten(-1, (3, 8))) for p in (m.query, m.key))
    return q, k, m.value(x).unflatten(-1, (3, 16))


def finished(m, y, x):
    """PyTorch's GroupNorm, one group per head, then the swish gate."""
    normed = F.group_norm(y.flatten(2).flatten(0, 1), 3, eps=m.config.epsilon).view(*x.shape[:2], -1)
    return m.output(F.silu(m.gate(x)) * normed)


@pytest.mark.parametrize("length", [1, 75])
def test_against_flash_linear_attention(length):
    retention = naive("retention", "naive_retention")  # float32, queries over √K
    m = layer()
    x = torch.randn(2, length, 24, requires_grad=True)
    y = retention(*(a.transpose(1, 2) for a in heads(m, x))).transpose(1, 2)
    ours, theirs = m(x), finished(m, y, x)
    assert relative_error(ours, theirs) < 1e-5
    seed, wanted = torch.randn_like(ours), [x, *m.parameters()]
    pairs = zip(torch.autograd.grad(ours, wanted, seed), torch.autograd.grad(theirs, wanted, seed), strict=True)
    assert all(relative_error(a, b) < 1e-5 for a, b in pairs)


def test_the_papers_normalisations_change_nothing():
    # Section 2.2: QKᵀ/√K, D over the root of its rows' sums, R over max(|Σ R|, 1); GroupNorm takes each out again.
    m = layer(epsilon=1e-24).double()
    x = 3 * torch.randn(2, 40, 24, dtype=torch.float64)
    q, k, v = m._heads(x, 0)  # keys are over √K already
    t = torch.arange(40)
    decay = (m.log_decay[:, None, None] * (t[:, None] - t)).exp().tril()
    decay = decay / decay.sum(-1, keepdim=True).sqrt()
    scores = torch.einsum("bthk,bshk->bhts", q, k) * decay
    assert scores.sum(-1).abs().max() > 1
    scores = scores / scores.sum(-1, keepdim=True).abs().clamp(min=1)
    assert relative_error(m(x), finished(m, torch.einsum("bhts,bshv->bthv", scores, v), x)) < 1e-10


def test_float32_over_2000_tokens():
    length, m = 2000, layer(C=64)
    x = torch.randn(1, length, 24)
    with torch.no_grad():
        y = m(x)
        # The angles are float32 in either case: what differs is the arithmetic.
        assert relative_error(y.double(), m.double().reference(x.double())) < 2e-6 * math.sqrt(length / 64)


def test_an_odd_head_width_is_refused():
    with pytest.raises(BadSize, match="rotary positions: head width K: 21 does not divide by 2"):
        Formula(D=63, H=3)


def test_a_word_is_no_head_width():
    with pytest.raises(BadSize, match=r"head width K: .1\+3. was given; a whole number of at least 1 is allowed"):
        seqcost.configure("retnet", K="1+3")
