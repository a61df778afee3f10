"""The short convolution: nn.Conv1d with the same filter, any split, and its formula."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from seqcost.algebra import Bill, Kind
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.short_conv import short_conv as on_tape
from seqcost.layers.ops.short_conv import conv_bias, conv_weight, short_conv
from seqcost.programs import Target
from seqcost.questions.answers.phases import by_formula
from seqcost.trace import trace

E, K = 6, 4


@pytest.fixture
def filters():
    torch.manual_seed(0)
    conv = nn.Conv1d(E, E, K, groups=E, padding=K - 1).double()
    x = torch.randn(3, 11, E, dtype=torch.float64, requires_grad=True)
    return conv, x, conv.weight.squeeze(1), conv.bias


def start(x, k=K):
    return torch.zeros(x.shape[0], k - 1, x.shape[2], dtype=x.dtype)


def test_equals_conv1d_padded_on_both_sides_and_cut(filters):
    conv, x, w, b = filters
    y, _ = short_conv(x, w, b, start(x))
    theirs = conv(x.transpose(1, 2))[:, :, :11].transpose(1, 2)
    torch.testing.assert_close(y, theirs)
    seed = torch.randn_like(y)
    wanted = (x, conv.weight, conv.bias)
    ours = torch.autograd.grad(y, wanted, seed)
    torch.testing.assert_close(ours, torch.autograd.grad(theirs, wanted, seed))


@pytest.mark.parametrize("split", [(0, 11), (1, 10), (2, 9), (5, 1, 0, 5), (1,) * 11])
def test_any_split_is_the_whole(filters, split):
    _, x, w, b = filters
    whole, end = short_conv(x, w, b, start(x))
    state, pieces = start(x), []
    for piece in x.split(split, dim=1):
        y, state = short_conv(piece, w, b, state)
        pieces.append(y)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole)
    torch.testing.assert_close(state, end, rtol=0, atol=0)
    assert state.untyped_storage().nbytes() == 3 * (K - 1) * E * 8


def test_gradients_reach_the_carried_state(filters):
    _, x, w, b = filters
    state = torch.randn(3, K - 1, E, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: short_conv(x[:, :3], w, b, s), state)


@dataclass(frozen=True, kw_only=True)
class Formula(Component):
    D: int = E
    k: int = K
    bias: bool = True

    def params(self):
        return Bill.of(Kind.PARAMETERS, weight=(self.D * self.k, "w"))

    def program(self, t, x, source):
        B = x.shape[0]
        return on_tape(t, "conv", x, self.k, t.state("start", B, self.k - 1, self.D), bias=self.bias)[0]


class Conv(nn.Module):
    def __init__(self, k, bias):
        super().__init__()
        self.weight, self.bias = conv_weight(E, k), conv_bias(E, k) if bias else None

    def forward(self, x):
        return short_conv(x, self.weight, self.bias, start(x, self.weight.shape[1]))[0]

    def example_inputs(self, B, T, S=None):
        return (torch.randn(B, T, E, requires_grad=True),)


@pytest.mark.parametrize("phase", ["forward", "train"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("T", [1, 2, 9])
def test_formula_is_the_trace(k, bias, T, phase):
    bills = by_formula(Formula(k=k, bias=bias), Workload(B=2, T=T), phase).bills
    traced = trace(Target("conv", lambda: Conv(k, bias), own_mode=True, source=None), phase=phase, B=2, T=T, lengths=())
    assert not traced.uncounted
    assert traced.flops.total(Kind.CONTRACTION) == bills.flops.total(Kind.CONTRACTION)
    assert traced.flops.total(Kind.POINTWISE) == bills.flops.total(Kind.POINTWISE)
    assert traced.saved.total() == bills.saved.total()
    if phase == "forward":
        assert traced.traffic.total() == bills.moved.total()
        assert traced.depth == bills.depth.total()
