"""Gated linear attention: its counts, flash-linear-attention's loop, shut gates, and chunks that do not matter."""

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
from seqcost.formulas.mixers.gla import Gla as Formula
from seqcost.layers import Gla

VARIANTS = (
    small.Variant("gla-layer", "gla-layer", small.gated_heads, {"C": 4, "J": 2}),
    small.Variant("gla", "gla", small.gated_model, {"C": 4, "J": 4}),
)

D, H, C, J, T = symbols("DHCJT").values()


def layer(**sizes):
    torch.manual_seed(0)
    return Gla(**{"D": 32, "H": 2, "R": 4, "C": 16, "J": 4} | sizes)


def test_parameters_are_those_of_attention_but_for_the_gates():
    # Section 4.4: keys half as wide as values, so that the swish gate fits in; R = 16 features for the decays.
    gates = D * 16 + 16 * D / 2 + D / 2
    assert (Formula(D=D, H=H).params().total() - (4 * D**2 + gates + D / H)).expand() == 0


def test_leading_terms():
    K, V = D / H / 2, D / H
    flops = Formula(D=D, H=H, C=C, J=J).flops(Workload(T=T)).leading("T", Kind.CONTRACTION)
    projections = 8 * T * D**2 + 2 * T * 16 * D + 2 * T * 16 * D / 2
    pairs = 2 * T * C * (K + V) * H + 2 * T * J * (K + V) * H  # all earlier sub-chunks, then the own one
    assert (flops - (projections + pairs + 4 * T * K * V * H)).expand() == 0


def test_a_step_and_the_state_do_not_grow():
    formula, K, V = Formula(D=64, H=4), 8, 16
    for length in (1, 10**6):
        run = Workload(T=length)
        projections = 8 * 64**2 + 2 * 16 * 64 + 2 * 16 * 32
        assert formula.step_flops(run).total(Kind.CONTRACTION) == projections + 4 * 4 * K * V
        assert formula.state_bytes(run).total() == 4 * 4 * K * V


def their_output(m, x, loop):
    K, V = m.config.K, m.config.V
    q, k, v = (p(x).unflatten(-1, (2, d)) for p, d in ((m.query, K), (m.key, K), (m.value, V)))
    gate = F.linear(F.linear(x, m.decay_down.weight), m.decay_up.weight, m.decay_up.bias)
    y, _ = loop(q, k, v, gate.sigmoid().pow(1 / m.config.tau).log().unflatten(-1, (2, K)))
    normed = F.rms_norm(y, (V,), m.gain, eps=m.config.epsilon)
    return m.output((normed * F.silu(m.gate(x)).unflatten(-1, (2, V))).flatten(2))


@pytest.mark.parametrize("length", [1, 75])
def test_against_flash_linear_attention(length):
    m = layer()
    x = torch.randn(2, length, 32, requires_grad=True)
    ours, theirs = m(x), their_output(m, x, naive("gla", "naive_recurrent_gla"))
    assert relative_error(ours, theirs) < 1e-5
    seed, wanted = torch.randn_like(ours), [x, *m.parameters()]
    ours, theirs = torch.autograd.grad(ours, wanted, seed), torch.autograd.grad(theirs, wanted, seed)
    scale = max(float(g.abs().max()) for g in theirs)
    assert max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)) < 1e-5 * scale


def test_chunks_and_sub_chunks_do_not_matter():
    x = torch.randn(2, 50, 32, dtype=torch.float64)
    first, *others = (layer(C=c, J=j).double()(x) for c, j in ((2, 2), (16, 4), (16, 16), (64, 8)))
    assert all(relative_error(other, first) < 1e-13 for other in others)


@pytest.mark.parametrize("bias", [-300.0, 0.0, 300.0])
def test_float32_over_2000_tokens_with_gates_shut_and_open(bias):
    length, m = 2000, layer(C=32, J=8)
    with torch.no_grad():
        m.decay_up.bias.fill_(bias)
    x = torch.randn(1, length, 32, requires_grad=True)
    y = m(x)
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert gradient.isfinite().all()
    with torch.no_grad():
        exact = m.double().reference(x.double())
    assert relative_error(y.double(), exact) < 2e-6 * math.sqrt(length / 64)


def test_a_shut_gate_forgets_all_but_the_own_token():
    m = layer().double()
    with torch.no_grad():
        m.decay_up.bias.fill_(-16 * 800.0)
    x = torch.randn(1, 20, 32, dtype=torch.float64)
    assert relative_error(m(x)[:, 7], m(x[:, 7:8])[:, 0]) < 1e-10


def test_a_sub_chunk_that_does_not_divide_is_refused():
    with pytest.raises(BadSize, match="tokens of a chunk C over those of a sub-chunk J: 32 does not divide by 5"):
        Formula(D=64, H=4, J=5)
