"""State-space duality: three forms of one recurrence, any chunks, any split, long sequences."""

import math

import pytest
import torch
from oracles import relative_error

from seqcost.layers.ops.ssd import chunked_ssd, sequential_ssd, ssd_step

H, V, G, N = 4, 3, 2, 5


def drawn(T, dtype=torch.float64, batch=2, largest_gate=1.0):
    """x, g, B, C and a state."""
    torch.manual_seed(0)
    x, gate = torch.randn(batch, T, H, V, dtype=dtype), -torch.rand(batch, T, H, dtype=dtype) * largest_gate
    write, read = torch.randn(2, batch, T, G, N, dtype=dtype).unbind(0)
    return [z.requires_grad_() for z in (x, gate, write, read, torch.randn(batch, H, V, N, dtype=dtype))]


def quadratic(x, gate, write, read, state):
    """y_t = Σ_{s ≤ t} exp(g_{s+1} + … + g_t) (C_t · B_s) x_s, and the state that was there before."""
    write, read = (z.repeat_interleave(H // G, dim=2) for z in (write, read))
    y = torch.zeros_like(x)
    for t in range(x.shape[1]):
        for s in range(t + 1):
            weight = gate[:, s + 1 : t + 1].sum(1).exp() * (read[:, t] * write[:, s]).sum(-1)
            y[:, t] += weight.unsqueeze(-1) * x[:, s]
        y[:, t] += gate[:, : t + 1].sum(1).exp().unsqueeze(-1) * torch.einsum("bhvn,bhn->bhv", state, read[:, t])
    return y


@pytest.mark.parametrize("T", [1, 11])
def test_each_form_is_the_quadratic_one(T):
    inputs = [z.detach() for z in drawn(T)]
    y = quadratic(*inputs)
    assert relative_error(sequential_ssd(*inputs)[0], y) < 1e-14
    assert relative_error(chunked_ssd(*inputs, C=4)[0], y) < 1e-14


def gradients(y, end, inputs):
    torch.manual_seed(1)
    return torch.autograd.grad((y * torch.randn_like(y)).sum() + (end * torch.randn_like(end)).sum(), inputs)


@pytest.mark.parametrize("C", [1, 2, 7, 16, 64])
def test_the_result_does_not_depend_on_the_chunks(C):
    inputs = drawn(23)
    one, other = sequential_ssd(*inputs), chunked_ssd(*inputs, C=C)
    assert all(relative_error(a, b) < 1e-13 for a, b in zip(other, one, strict=True))
    for a, b in zip(gradients(*other, inputs), gradients(*one, inputs), strict=True):
        assert relative_error(a, b) < 1e-13


@pytest.mark.parametrize("pieces", [(0, 11), (5, 6), (1, 0, 9, 1), (1,) * 11])
def test_any_split_is_the_whole(pieces):
    *signals, state = drawn(11)
    whole, end = chunked_ssd(*signals, state, C=4)
    y = []
    for piece in zip(*(z.split(pieces, dim=1) for z in signals), strict=True):
        if piece[0].shape[1] == 1:
            out, state = ssd_step(*(z.squeeze(1) for z in piece), state)
            out = out.unsqueeze(1)
        else:
            out, state = chunked_ssd(*piece, state, C=4)
        y.append(out)
    assert relative_error(torch.cat(y, dim=1), whole) < 1e-13
    assert relative_error(state, end) < 1e-13


@pytest.mark.parametrize("largest_gate", [0.002, 0.5, 60.0])
@pytest.mark.parametrize("C", [64, 256])
def test_long_sequences_in_float32(largest_gate, C):
    """Gates that sum to thousands within a chunk: no difference of such sums, no infinity in backward."""
    exact = [z.detach() for z in drawn(2000, largest_gate=largest_gate)]
    y, end = sequential_ssd(*exact)
    inputs = [z.float().requires_grad_() for z in exact]
    ours, our_end = chunked_ssd(*inputs, C=C)
    tolerance = 2e-6 * math.sqrt(2000 / 64)
    assert relative_error(ours.double(), y) < tolerance
    assert relative_error(our_end.double(), end) < tolerance
    assert all(g.isfinite().all() for g in gradients(ours, our_end, inputs))
