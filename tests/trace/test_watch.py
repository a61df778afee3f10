"""Any code under the ledger: what it computes is unchanged, what it costs is booked by module."""

import pytest
import torch
from torch import nn

import seqcost
from seqcost.algebra import Kind
from seqcost.algebra.work import Beside


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


class Doubled(nn.Module):
    """One launch."""

    def forward(self, x):
        return x.mul(2.0)


class Viewed(nn.Module):
    """Three calls of modules, two launches and five views."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Doubled(), Doubled()

    def forward(self, x):
        y = self.first(x.view(4, 6).unsqueeze(0))
        return self.second(y.transpose(1, 2)).squeeze(0).view(6, 4)


def test_views_and_calls_of_modules_are_counted_for_each_launch():
    module, x = Viewed(), torch.zeros(24)
    with torch.no_grad(), seqcost.watch() as seen:
        module(x)
    assert seen.beside == Beside(views_forward=5 / 2, views_backward=0.0, modules=3 / 2)


def test_views_of_the_way_back_are_its_own_and_no_module_is_called_there():
    x, module = torch.zeros(24, requires_grad=True), Viewed()
    with seqcost.watch() as seen:
        y = module(x)
        there = seen.beside
        torch.autograd.grad(y, x, torch.ones_like(y))
    assert there == Beside(views_forward=5 / 2, views_backward=0.0, modules=3 / 2)
    launches = {way: sum(row.launches for row in seen.rows if row.direction == way) for way in ("forward", "backward")}
    assert launches == {"forward": 3, "backward": 2}  # the ones are made outside of modules
    assert seen.beside == Beside(views_forward=5 / 3, views_backward=5 / 2, modules=1.0)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU])
def test_launches_that_pytorch_loops_over_by_itself_are_inner(kind):
    layer, x = kind(8, 8, batch_first=True), torch.zeros(1, 40, 8)
    with torch.no_grad(), seqcost.watch() as seen:
        layer(x)
    assert 0.98 < seen.beside.inner <= 1.0
    assert seen.beside.modules * sum(row.launches for row in seen.rows) == pytest.approx(1.0)
    written_out = seqcost.count(nn.Sequential(nn.Linear(8, 8), nn.Tanh()), inputs=(x,)).origin.beside
    assert written_out.inner == 0.0
    assert written_out.modules > 1.0


def test_a_trace_tells_the_same_as_what_watches_the_run():
    module, x = nn.Sequential(nn.LayerNorm(16), nn.Linear(16, 16, bias=False), Doubled()), torch.zeros(2, 8, 16)
    found = seqcost.count(module, inputs=(x,)).origin.beside
    with torch.no_grad(), seqcost.watch() as seen:
        module(x)
    assert found == seen.beside
    assert found.views_forward > 0


def test_nothing_beside_nothing():
    with seqcost.watch() as seen:
        pass
    assert seen.beside == Beside(0.0, 0.0, 0.0)
    assert seen.peak_bytes == 0
