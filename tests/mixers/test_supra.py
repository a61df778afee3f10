"""SUPRA: counts of the linearised layer, flash-linear-attention's loop, all pairs by hand, the decays of its code."""

import math

import pytest
import small
import torch
from fla_loops import naive
from oracles import relative_error
from torch.nn import functional as F

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload
from seqcost.formulas.mixers.supra import Supra as Formula
from seqcost.layers import Supra
from seqcost.layers.parts.rope import rope_tables, rope_turn

VARIANTS = (
    small.Variant("supra-layer", "supra-layer", small.rectified_heads(), {"C": 4}),
    small.Variant("supra-grouped", "supra-layer", small.rectified_heads(grouped=True), {"C": 4, "decay": "retnet"}),
    small.Variant("supra-undecayed", "supra-layer", small.rectified_heads(wide_values=True), {"C": 4, "decay": "none"}),
    small.Variant("supra", "supra", small.rectified_model, {"C": 4}),
)

D, H, C, T = symbols("DHCT").values()


def layer(**sizes):
    torch.manual_seed(0)
    return Supra(**{"D": 32, "H": 4, "C": 16} | sizes)


def test_parameters():
    assert Formula(D=D, H=H).params().total() == 5 * D**2 + D
    # Mistral 7B's attention (D 4096, 32 heads, 8 key heads) with the two feature layers of TRI-ML's mistral_7b_linear.
    mistral = 2 * 4096**2 + 2 * 4096 * 1024
    assert Formula(D=4096, H=32, G=8).params().total() == mistral + 4096**2 + 4096 + 1024**2 + 1024


def test_leading_terms():
    flops = Formula(D=D, H=H, C=C).flops(Workload(T=T)).leading("T", Kind.CONTRACTION)
    assert (flops - (12 * T * D**2 + 4 * T * D * D / H + 4 * T * C * D)).expand() == 0


def test_a_step_and_the_state_do_not_grow():
    formula = Formula(D=64, H=4)
    for length in (1, 10**6):
        run = Workload(T=length)
        assert formula.step_flops(run).total(Kind.CONTRACTION) == 12 * 64**2 + 4 * 64 * 16
        assert formula.state_bytes(run).total() == 4 * 64 * 16


def test_decays():
    slopes = [2**-2, 2**-4, 2**-6, 2**-8]
    assert (-layer().double().log_decay).tolist() == slopes
    assert layer(decay="none").log_decay is None
    gamma = layer(decay="retnet").double().log_decay.exp()
    assert torch.allclose(gamma, 1 - torch.exp2(-5 - torch.arange(4, dtype=torch.float64)))


def heads(m, x):
    """The learned features of queries and keys, repeated for their group; queries over √K."""
    c = m.config
    q = F.relu(F.linear(m.query(x), m.feature.weight, m.feature.bias)).unflatten(-1, (c.H, c.K))
    own = m.key_feature if c.grouped else m.feature
    k = F.relu(F.linear(m.key(x), own.weight, own.bias)).unflatten(-1, (c.G, c.K))
    v = m.value(x).unflatten(-1, (c.G, c.V))
    tables = rope_tables(0, x.shape[1], m.frequency, x)
    q, k = rope_turn(q, *tables), rope_turn(k, *tables)
    return q, k.repeat_interleave(c.H // c.G, 2), v.repeat_interleave(c.H // c.G, 2)


def finished(m, y, x):
    flat = y.reshape(-1, m.config.H * m.config.V)
    return m.output(F.group_norm(flat, m.config.H, eps=m.config.epsilon).view(*x.shape[:2], -1))


@pytest.mark.parametrize("sizes", [{}, {"G": 2}, {"G": 1, "V": 12, "decay": "retnet"}], ids=str)
def test_against_flash_linear_attention(sizes):
    loop = naive("simple_gla", "naive_recurrent_simple_gla")
    m = layer(**sizes)
    x = torch.randn(2, 75, 32, requires_grad=True)
    y, _ = loop(*heads(m, x), m.log_decay.expand(2, 75, 4))
    ours, theirs = m(x), finished(m, y, x)
    assert relative_error(ours, theirs) < 1e-5
    seed, wanted = torch.randn_like(ours), [x, *m.parameters()]
    ours, theirs = torch.autograd.grad(ours, wanted, seed), torch.autograd.grad(theirs, wanted, seed)
    scale = max(float(g.abs().max()) for g in theirs)
    assert max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)) < 1e-5 * scale


@pytest.mark.parametrize("decay", ["alibi", "none"])
def test_all_pairs_by_hand(decay):
    m = layer(G=2, decay=decay).double()
    x = torch.randn(2, 37, 32, dtype=torch.float64)
    q, k, v = heads(m, x)
    t = torch.arange(37)
    slope = torch.tensor([2**-2, 2**-4, 2**-6, 2**-8]).double() if decay == "alibi" else torch.zeros(4).double()
    weight = (-slope[:, None, None] * (t[:, None] - t)).exp().tril()
    y = torch.einsum("bthk,bshk,hts,bshv->bthv", q, k / math.sqrt(8), weight, v)
    assert relative_error(m(x), finished(m, y, x)) < 1e-11


def test_float32_over_2000_tokens():
    length, m = 2000, layer(C=64)
    x = torch.randn(1, length, 32)
    with torch.no_grad():
        y = m(x)
        assert relative_error(y.double(), m.double().reference(x.double())) < 2e-6 * math.sqrt(length / 64)
