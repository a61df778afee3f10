"""The diagonal linear recurrence in two levels against the loop that defines it."""

import math

import pytest
import torch
from oracles import relative_error

from seqcost.errors import BadSize
from seqcost.formulas.mixers.mingru import MinGru
from seqcost.layers.ops.scan import linear_scan


def loop(a_BTN, b_BTN, h_BN):
    states = []
    for a_BN, b_BN in zip(a_BTN.unbind(1), b_BTN.unbind(1), strict=True):
        h_BN = a_BN * h_BN + b_BN
        states.append(h_BN)
    return torch.stack(states, 1), h_BN


def drawn(B, T, *N, dtype=torch.float64, wide=True):
    made = torch.Generator().manual_seed(T)
    a = torch.rand(B, T, *(N if wide else (*N[:-1], 1)), generator=made, dtype=dtype)
    b = torch.randn(B, T, *N, generator=made, dtype=dtype)
    return tuple(x.requires_grad_() for x in (a, b, torch.randn(B, *N, generator=made, dtype=dtype)))


@pytest.mark.parametrize("wide", [True, False], ids=["a-as-wide-as-b", "a-of-one"])
@pytest.mark.parametrize("C", [2, 3, 8, 64])
@pytest.mark.parametrize("T", [1, 2, 7, 24])
def test_states_and_gradients_are_those_of_the_loop(T, C, wide):
    given = drawn(2, T, 3, 5, wide=wide)
    results = []
    for scan in (loop, lambda *x: linear_scan(*x, C)):
        h, final = scan(*given)
        assert torch.equal(h.shape and final, final)
        loss = (h * torch.arange(h.numel()).view_as(h).cos()).sum() + (final**3).sum()
        results.append((h, final, *torch.autograd.grad(loss, given)))
    for ours, theirs in zip(results[1], results[0], strict=True):
        assert ours.shape == theirs.shape
        assert relative_error(ours, theirs) < 1e-13


def test_the_last_state_is_the_carried_one_and_no_token_changes_nothing():
    a, b, start = drawn(2, 9, 4)
    h, final = linear_scan(a, b, start, 4)
    assert relative_error(h[:, -1], final) < 1e-14
    h, same = linear_scan(a[:, :0], b[:, :0], start, 4)
    assert h.shape == (2, 0, 4)
    assert same is start


def test_gradients_of_gradients():
    given = drawn(1, 5, 2)
    assert torch.autograd.gradcheck(lambda *x: linear_scan(*x, 2), given)
    assert torch.autograd.gradgradcheck(lambda *x: linear_scan(*x, 2), given)


def test_functional_transforms_see_through():
    a, b, start = (x.detach() for x in drawn(3, 7, 2))

    def loss(a_TN, b_TN, h_N):
        return linear_scan(a_TN[None], b_TN[None], h_N[None], 4)[0].square().sum()

    by_row = torch.func.vmap(torch.func.grad(loss))(a, b, start)
    together = torch.func.grad(lambda a: linear_scan(a, b, start, 4)[0].square().sum())(a)
    assert relative_error(by_row, together) < 1e-13


@pytest.mark.parametrize("values", ["forgetting", "keeping", "mixed", "zero"])
def test_thousands_of_tokens_in_float32(values):
    # Of the order of the loop: 3e-8, 5e-8; 5e-6 where a is within 1e-4 of 1. A scan in log-space loses 1.5e-4.
    a, b, start = drawn(1, 4096, 8, dtype=torch.float32)
    a = {"forgetting": a * 0.1, "keeping": 1 - a * 1e-4, "mixed": a, "zero": a.round()}[values]
    exact, _ = loop(*(x.double() for x in (a, b, start)))
    tolerance = 2e-6 * math.sqrt(4096 / 64)
    assert relative_error(linear_scan(a, b, start, 32)[0].double(), exact) < tolerance / 2


def test_a_broken_carry_would_be_seen():
    a, b, start = drawn(2, 8, 4)
    restarted = torch.cat([linear_scan(a[:, i : i + 4], b[:, i : i + 4], start, 4)[0] for i in (0, 4)], 1)
    assert relative_error(restarted, loop(a, b, start)[0]) > 1e-3


@pytest.mark.parametrize("C", [0, 1, 2.5, "many", True])
def test_a_chunk_of_no_size_is_refused(C):
    with pytest.raises(BadSize, match="takes a whole number of tokens per chunk, at least 2"):
        MinGru(D=4, C=C)
