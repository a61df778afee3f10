"""DeltaNet: flash-linear-attention's loops, a layer put together from PyTorch's parts, the published count."""

import math

import pytest
import small
import torch
import torch.nn.functional as F
from fla_loops import naive
from oracles import relative_error
from torch import nn

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload
from seqcost.formulas.mixers.deltanet import DeltaNet as Formula
from seqcost.layers import DeltaNet
from seqcost.layers.ops.delta_rule import delta_rule, delta_rule_step

VARIANTS = (
    small.Variant("deltanet-layer", "deltanet-layer", small.delta()),
    small.Variant("deltanet-layer-widths-differ", "deltanet-layer", small.delta(widths_differ=True)),
    small.Variant("deltanet", "deltanet", small.delta(model=True)),
)

H, K, V, C = 3, 8, 12, 16


def drawn(T, dtype=torch.float64, batch=2):
    torch.manual_seed(0)
    q, k = (F.normalize(torch.randn(batch, T, H, K, dtype=dtype), dim=-1) for _ in "qk")
    v, beta = torch.randn(batch, T, H, V, dtype=dtype), torch.rand(batch, T, H, dtype=dtype)
    return [x.requires_grad_() for x in (q, k, v, beta, torch.randn(batch, H, K, V, dtype=dtype))]


def their_rule(q, k, v, beta, state=None, *, chunk=None):
    """Flash-linear-attention's loops: heads before tokens, queries scaled by 1/√K."""
    given = [q.transpose(1, 2) * K**0.5, *(x.transpose(1, 2) for x in (k, v, beta))]
    if chunk:
        y, end = naive("delta_rule", "delta_rule_chunkwise")(*given, chunk_size=chunk)
    else:
        y, end = naive("delta_rule", "delta_rule_recurrence")(*given, initial_state=state)
    return y.transpose(1, 2), end


@pytest.mark.parametrize("T", [1, 5, 64, 65])
def test_the_rule_equals_that_of_flash_linear_attention(T):
    q, k, v, beta, state = drawn(T, torch.float32)
    y, end = delta_rule(q, k, v, beta, None, state, C)
    their_y, their_end = their_rule(q, k, v, beta, state)
    assert relative_error(y, their_y) < 1e-5
    assert relative_error(end, their_end) < 1e-5
    inputs, loss = (q, k, v, beta, state), torch.randn_like(y)
    ours = torch.autograd.grad((y * loss).sum() + end.sum(), inputs)
    theirs = torch.autograd.grad((their_y * loss).sum() + their_end.sum(), inputs)
    assert all(relative_error(a, b) < 1e-5 for a, b in zip(ours, theirs, strict=True))


def test_the_chunks_equal_those_of_flash_linear_attention():
    q, k, v, beta, _ = drawn(64, torch.float32)
    y, end = delta_rule(q, k, v, beta, None, torch.zeros(2, H, K, V), 32)
    their_y, their_end = their_rule(q, k, v, beta, chunk=32)
    assert relative_error(y, their_y) < 1e-5
    assert relative_error(end, their_end) < 1e-5


def test_the_layer_equals_one_put_together_from_other_parts():
    torch.manual_seed(0)
    D, T = 20, 37
    ours = DeltaNet(D=D, H=H, K=K, V=V, C=C)
    nn.init.normal_(ours.gain)
    E = H * (2 * K + V)
    conv, norm = nn.Conv1d(E, E, 4, groups=E, padding=3, bias=False), nn.RMSNorm(V, eps=1e-5)
    with torch.no_grad():
        conv.weight.copy_(ours.conv.unsqueeze(1))
        norm.weight.copy_(ours.gain)
    x = torch.randn(2, T, D, requires_grad=True)
    mixed = F.silu(conv(ours.query_key_value(x).transpose(1, 2))[..., :T].transpose(1, 2))
    q, k, v = mixed.split([H * K, H * K, H * V], dim=-1)
    q, k = (F.normalize(z.unflatten(-1, (H, K)), dim=-1) for z in (q, k))
    y, _ = their_rule(q, k, v.unflatten(-1, (H, V)), ours.beta(x).sigmoid())
    theirs = ours.output(norm(y).flatten(2))
    mine = ours(x)
    # They divide by the length alone, we by √(length² + 10⁻⁶), as flash-linear-attention's kernel does.
    assert relative_error(mine, theirs) < 1e-4
    seed = torch.randn_like(mine)
    ours_dx, theirs_dx = (torch.autograd.grad(out, x, seed)[0] for out in (mine, theirs))
    assert relative_error(ours_dx, theirs_dx) < 1e-3


@pytest.mark.parametrize("C", [1, 3, 16, 64])
def test_the_chunk_changes_nothing(C):
    q, k, v, beta, state = drawn(33)
    outputs, end = [], state
    for t in range(33):
        y, end = delta_rule_step(q[:, t], k[:, t], v[:, t], beta[:, t], None, end)
        outputs.append(y)
    y, after = delta_rule(q, k, v, beta, None, state, C)
    torch.testing.assert_close(y, torch.stack(outputs, dim=1), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(after, end, rtol=1e-12, atol=1e-12)


def test_no_tokens_leave_the_state_as_it_is():
    *inputs, state = drawn(0)
    y, end = delta_rule(*inputs, None, state, C)
    assert y.shape == (2, 0, H, V)
    assert end is state


def test_what_is_written_under_a_key_is_read_back_and_replaced():
    # b = 1 with keys of length 1: the state answers with the value written last.
    k = F.one_hot(torch.tensor([[0, 1, 0, 2, 1]]), K).double().unsqueeze(2)
    v = torch.randn(1, 5, 1, V, dtype=torch.float64)
    ones = torch.ones(1, 5, 1, dtype=torch.float64)
    y, end = delta_rule(k, k, v, ones, None, torch.zeros(1, 1, K, V, dtype=torch.float64), 2)
    torch.testing.assert_close(y, v)
    torch.testing.assert_close(end[0, 0, :3], v[0, [2, 4, 3], 0])


def test_a_rate_of_zero_changes_nothing():
    q, k, v, beta, state = drawn(20)
    _, end = delta_rule(q, k, v, torch.zeros_like(beta), None, state, 8)
    torch.testing.assert_close(end, state, rtol=0, atol=0)


def test_the_wrong_rule_is_noticed():
    # Plain linear attention writes v itself, not what the state does not say yet.
    q, k, v, beta, state = drawn(20)
    said_nothing = torch.zeros_like(state)
    y, _ = delta_rule(q, k, v, beta, None, said_nothing, 8)
    scores = torch.einsum("bthk,bshk->bhts", q, k).tril()
    linear = torch.einsum("bhts,bshv->bthv", scores, v * beta.unsqueeze(-1))
    assert relative_error(linear, y) > 1e-2


def test_stable_in_float32_over_long_sequences():
    T = 2000
    exact = drawn(T)
    rounded = [x.detach().float().requires_grad_() for x in exact]
    (y, _), (truth, _) = (delta_rule(*given[:4], None, given[4], 64) for given in (rounded, exact))
    assert relative_error(y.double(), truth) < 2e-6 * math.sqrt(T / 64)
    gradients = [torch.autograd.grad(out.sum(), inputs) for out, inputs in ((y, rounded), (truth, exact))]
    assert all(relative_error(a.double(), b) < 2e-6 * math.sqrt(T / 64) for a, b in zip(*gradients, strict=True))


def test_the_core_is_linear_in_length_and_the_leading_term_is_the_products():
    D, H, T, C = (symbols("DHTC")[z] for z in "DHTC")
    layer, run = Formula(D=D, H=H, C=C, k=4), Workload(T=64 * T)
    # 64·T tokens in chunks of 64, so that no ⌈ ⌉ is left
    flops = Formula(D=D, H=H, C=64).flops(run).total(Kind.CONTRACTION).expand()
    tokens = 64 * T
    projections = 2 * tokens * D * 3 * D + 2 * tokens * D * H + 2 * tokens * D * D + 2 * 4 * tokens * 3 * D
    state, within = 6 * tokens * D * (D / H), 8 * tokens * 64 * D
    assert (flops - projections - state - within).expand() == 0
    assert layer.state_bytes(Workload()).total().expand() == 4 * (D**2 / H + 9 * D)
