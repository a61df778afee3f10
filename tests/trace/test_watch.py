"""Any code under the ledger: what it computes is unchanged, what it costs is booked by module."""

import pytest
import torch
from torch import nn

import seqcost
from seqcost.algebra import Kind


def test_a_training_step_is_booked_by_module_and_direction():
    model = nn.Sequential(nn.Linear(8, 16, bias=False), nn.Tanh(), nn.Linear(16, 4, bias=False))
    x = torch.randn(5, 8)
    with seqcost.watch() as seen:
        model(x).sum().backward()
    lines = {line.name: line.amount for line in seen.flops.only(Kind.CONTRACTION)}
    first, second = 2 * 5 * 8 * 16, 2 * 5 * 16 * 4
    assert lines == {
        "Sequential.0.mm": first,
        "Sequential.2.mm": second,
        "backward.Sequential.2.mm": 2 * second,
        "backward.Sequential.0.mm": first,  # x wants no gradient
    }
    assert seen.uncounted == ()
    assert seen.coverage.operators == 1


def test_the_result_and_the_gradients_are_those_without_it():
    torch.manual_seed(0)
    layer, x = nn.LSTM(6, 6, batch_first=True), torch.randn(2, 9, 6)
    expected = torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))
    with seqcost.watch():
        found = torch.autograd.grad(layer(x)[0].sum(), list(layer.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_code_outside_of_modules_and_the_same_module_twice():
    layer, a = nn.Linear(3, 3, bias=False), torch.randn(4, 3)
    with seqcost.watch() as seen:
        layer(layer(a)) @ a.T
        nn.Linear(3, 2, bias=False)(a)
    lines = {line.name: line.amount for line in seen.flops.only(Kind.CONTRACTION)}
    assert lines == {"Linear.mm": 2 * 72, "code.mm": 96, "Linear-2.mm": 48}


def test_what_has_no_formula_is_listed():
    with seqcost.watch() as seen:
        torch.linalg.svd(torch.randn(4, 4))
    assert [u.operator for u in seen.uncounted] == ["aten::_linalg_svd"]
    assert seen.coverage.operators < 1


def test_what_ran_before_an_exception_is_booked():
    layer, x = nn.Linear(3, 3, bias=False), torch.randn(4, 3)
    with pytest.raises(RuntimeError, match="shapes"), seqcost.watch() as seen:
        layer(layer(x).mT)
    assert {line.name: line.amount for line in seen.flops} == {"Linear.mm": 2 * 4 * 9}


def test_watching_may_begin_within_a_call_and_end_outside():
    class Begins(nn.Module):
        def forward(self, x):
            self.watching = seqcost.watch()
            self.seen = self.watching.__enter__()
            return x @ x

    module = Begins()
    nn.Sequential(module, nn.Linear(3, 3, bias=False))(torch.ones(3, 3))
    module.watching.__exit__(None, None, None)
    assert {line.name: line.amount for line in module.seen.flops} == {"code.mm": 54, "Linear.mm": 54}
