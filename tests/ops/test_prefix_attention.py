"""Softmax over every prefix by a scan, against the softmax itself, where scores jump as well."""

import pytest
import torch
from oracles import relative_error

from seqcost.layers.ops.prefix_attention import prefix_attention, prefix_attention_step


def softmax(s_BTH, v_BTHV):
    T = s_BTH.shape[1]
    scores_BHTS = s_BTH.permute(0, 2, 1).unsqueeze(2).expand(-1, -1, T, -1)
    weights = scores_BHTS.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), -torch.inf).softmax(-1)
    return torch.einsum("bhts,bshv->bthv", weights, v_BTHV)


def start(s_BTH, V):
    B, _, H = s_BTH.shape
    return s_BTH.new_full((B, H), -torch.inf), s_BTH.new_zeros(B, H, V + 1)


def jumps(T, dtype):
    """Scores that rise by 120 and fall again, inside a chunk and at its edge."""
    s_BTH = torch.randn(2, T, 3, generator=torch.Generator().manual_seed(0), dtype=dtype)
    for t, by in ((3, 120.0), (8, 240.0), (9, -500.0), (13, 360.0)):
        s_BTH[:, t:] += by
    return s_BTH


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("C", [2, 4, 32])
def test_values_and_gradients_where_scores_jump(C, dtype):
    s, v = jumps(20, dtype).requires_grad_(), torch.randn(2, 20, 3, 4, dtype=dtype, requires_grad=True)
    weights = torch.arange(s.numel() * 4).view(2, 20, 3, 4).cos()
    results = [
        (y, *torch.autograd.grad((y * weights).sum(), (s, v)))
        for y in (softmax(s, v), prefix_attention(s, v, *start(s, 4), C)[0])
    ]
    for ours, theirs in zip(results[1], results[0], strict=True):
        assert ours.isfinite().all()
        assert relative_error(ours, theirs) < (1e-12 if dtype == torch.float64 else 2e-6)


def test_any_split_and_single_steps_carry_on():
    s, v = jumps(20, torch.float64), torch.randn(2, 20, 3, 4, dtype=torch.float64)
    whole, *after = prefix_attention(s, v, *start(s, 4), 4)
    state, pieces = start(s, 4), []
    for s_piece, v_piece in zip(s.split([0, 3, 1, 16], 1), v.split([0, 3, 1, 16], 1), strict=True):
        o, *state = prefix_attention(s_piece, v_piece, *state, 4)
        pieces.append(o)
    steps, single = start(s, 4), []
    for t in range(20):
        o, *steps = prefix_attention_step(s[:, t], v[:, t], *steps)
        single.append(o)
    assert relative_error(torch.cat(pieces, 1), whole) < 1e-13
    assert relative_error(torch.stack(single, 1), whole) < 1e-13
    for others in (state, steps):
        assert all(relative_error(a, b) < 1e-13 for a, b in zip(others, after, strict=True))


def test_gradients_flow_through_the_carried_state():
    s, v = jumps(12, torch.float64).requires_grad_(), torch.randn(2, 12, 3, 4, dtype=torch.float64)
    first, *state = prefix_attention(s[:, :5], v[:, :5], *start(s, 4), 4)
    split = torch.cat([first, prefix_attention(s[:, 5:], v[:, 5:], *state, 4)[0]], 1)
    ours, theirs = (torch.autograd.grad(y.square().sum(), s)[0] for y in (split, softmax(s, v)))
    assert relative_error(ours, theirs) < 1e-12


def test_thousands_of_tokens_in_float32():
    made = torch.Generator().manual_seed(1)
    s, v = 5 * torch.randn(1, 4000, 2, generator=made), torch.randn(1, 4000, 2, 8, generator=made)
    o = prefix_attention(s, v, *start(s, 8), 32)[0]
    assert relative_error(o.double(), softmax(s.double(), v.double())) < 2e-6
