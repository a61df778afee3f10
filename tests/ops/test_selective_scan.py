"""The selective scan: three forms of one recurrence, any chunks, any split, long sequences."""

import math

import pytest
import torch
from oracles import relative_error

from seqcost.layers.ops.selective_scan import chunked_scan, scan_step, sequential_scan

N, E = 3, 5


def drawn(T, dtype=torch.float64, batch=2, largest_step=1.0):
    """x, δ, A, B, C and a state."""
    torch.manual_seed(0)
    x, delta = torch.randn(batch, T, E, dtype=dtype), torch.rand(batch, T, E, dtype=dtype) * largest_step
    rate = -torch.rand(N, E, dtype=dtype) * 4
    write, read = torch.randn(2, batch, T, N, dtype=dtype).unbind(0)
    return [z.requires_grad_() for z in (x, delta, rate, write, read, torch.randn(batch, N, E, dtype=dtype))]


def loop(x, delta, rate, write, read, state):
    """The recurrence, number by number."""
    h = [[[state[b, n, e] for e in range(E)] for n in range(N)] for b in range(x.shape[0])]
    y = torch.zeros_like(x)
    for t in range(x.shape[1]):
        for b in range(x.shape[0]):
            for e in range(E):
                for n in range(N):
                    decay = math.exp(delta[b, t, e] * rate[n, e])
                    h[b][n][e] = decay * h[b][n][e] + delta[b, t, e] * write[b, t, n] * x[b, t, e]
                    y[b, t, e] += read[b, t, n] * h[b][n][e]
    return y, torch.tensor(h, dtype=x.dtype)


@pytest.mark.parametrize("T", [1, 9])
def test_each_form_is_the_recurrence(T):
    inputs = [z.detach() for z in drawn(T)]
    y, end = loop(*inputs)
    for ours, our_end in (sequential_scan(*inputs), chunked_scan(*inputs, C=2, J=2)):
        assert relative_error(ours, y) < 1e-14
        assert relative_error(our_end, end) < 1e-14


def gradients(y, end, inputs):
    torch.manual_seed(1)
    return torch.autograd.grad((y * torch.randn_like(y)).sum() + (end * torch.randn_like(end)).sum(), inputs)


@pytest.mark.parametrize(("C", "J"), [(1, 1), (1, 3), (2, 1), (4, 2), (3, 3), (16, 4)])
def test_the_result_does_not_depend_on_the_chunks(C, J):
    inputs = drawn(23)
    one, other = sequential_scan(*inputs), chunked_scan(*inputs, C=C, J=J)
    assert all(relative_error(a, b) < 1e-13 for a, b in zip(other, one, strict=True))
    for a, b in zip(gradients(*other, inputs), gradients(*one, inputs), strict=True):
        assert relative_error(a, b) < 1e-13


def test_derivatives_are_those_of_differences():
    assert torch.autograd.gradcheck(lambda *z: chunked_scan(*z, C=2, J=2), drawn(7))


def test_only_what_is_asked_for_needs_a_gradient():
    x, *others = drawn(7)
    y, _ = chunked_scan(x, *(z.detach() for z in others), C=2, J=2)
    assert torch.autograd.grad(y.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("pieces", [(0, 11), (5, 6), (1, 0, 9, 1), (1,) * 11])
def test_any_split_is_the_whole(pieces):
    x, delta, rate, write, read, state = drawn(11)
    whole, end = chunked_scan(x, delta, rate, write, read, state, C=4, J=2)
    y = []
    for piece in zip(*(z.split(pieces, dim=1) for z in (x, delta, write, read)), strict=True):
        x_p, delta_p, write_p, read_p = piece
        if x_p.shape[1] == 1:
            single = (z.squeeze(1) for z in (x_p, delta_p))
            out, state = scan_step(*single, rate, write_p.squeeze(1), read_p.squeeze(1), state)
            out = out.unsqueeze(1)
        else:
            out, state = chunked_scan(x_p, delta_p, rate, write_p, read_p, state, C=4, J=2)
        y.append(out)
    assert relative_error(torch.cat(y, dim=1), whole) < 1e-13
    assert relative_error(state, end) < 1e-13


@pytest.mark.parametrize("largest_step", [0.02, 30.0])
def test_long_sequences_in_float32(largest_step):
    """States that last for the whole text, and states that vanish from one token to the next."""
    exact = [z.detach() for z in drawn(2000, largest_step=largest_step)]
    y, end = sequential_scan(*exact)
    ours, our_end = chunked_scan(*(z.float() for z in exact), C=16, J=4)
    tolerance = 2e-6 * math.sqrt(2000 / 64)
    assert relative_error(ours.double(), y) < tolerance
    assert relative_error(our_end.double(), end) < tolerance


def test_never_all_states_at_once():
    """What autograd keeps grows by the inputs and one state per chunk."""
    inputs, kept = drawn(256, torch.float32), {}

    def pack(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        chunked_scan(*inputs, C=16, J=4)
    given = sum(z.untyped_storage().nbytes() for z in (*inputs[:3], inputs[3]))  # B and C share a storage
    assert sum(kept.values()) == given + 256 // 16 * 2 * N * E * 4
