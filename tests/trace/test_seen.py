"""How far a formula was seen to hold: the length asked for is run where that is affordable, else the answer says so."""

from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import seqcost
from seqcost.algebra import Kind
from seqcost.programs import Target
from seqcost.report.counts import lengths_table, totals_table
from seqcost.trace import trace
from seqcost.trace.blocks import curve, named_limits


class Products(TorchDispatchMode):
    """FLOPs of the products of a real run."""

    def __init__(self):
        super().__init__()
        self.flops = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if func._schema.name in ("aten::mm", "aten::addmm", "aten::bmm"):
            a = args[1] if func._schema.name == "aten::addmm" else args[0]
            self.flops += 2 * out.numel() * a.shape[-1]
        return out


class Loop(nn.Module):
    """One step per token; from the 301st on another one, much dearer."""

    def __init__(self):
        super().__init__()
        self.cell, self.dear = nn.Linear(8, 8, bias=False), nn.Linear(8, 800, bias=False)

    def forward(self, x):
        h = x[:, 0]
        for t in range(x.shape[1]):
            h = self.cell(h)
            if t >= 300:
                h = h + self.dear(h)[:, :8]
        return h


class LateLoop(nn.Module):
    """No loop at all up to 300 tokens."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(8, 8, bias=False)

    def forward(self, x):
        if x.shape[1] <= 300:
            return self.cell(x)
        return torch.stack([self.cell(self.cell(x[:, t])) for t in range(x.shape[1])], 1)


class AsksForValues(LateLoop):
    def forward(self, x):
        return super().forward(x) if x.sum().item() < 1e9 else x


class Buckets(nn.Module):
    """Settles its buckets by the first length that it sees, as Reformer does."""

    def __init__(self):
        super().__init__()
        self.num_buckets, self.linear = None, nn.Linear(8, 4096, bias=False)

    def forward(self, x):
        if self.num_buckets is None:
            self.num_buckets = 2 ** (x.shape[1] // 16).bit_length()
        return x @ self.linear.weight[: self.num_buckets].T


class TopK(nn.Module):
    """Multiplies with the k tokens that score best."""

    def __init__(self, k):
        super().__init__()
        self.index_topk, self.linear = k, nn.Linear(8, 8, bias=False)

    def forward(self, x):
        y = self.linear(x)
        best = y.sum(-1).topk(min(self.index_topk, x.shape[1]), 1).indices
        return y @ y.gather(1, best[..., None].expand(-1, -1, 8)).mT


def flops_of_a_real_run(module, T):
    with Products() as real, torch.no_grad():
        module(torch.randn(1, T, 8))
    return real.flops


@pytest.mark.parametrize("make", [Loop, LateLoop, AsksForValues, Buckets, lambda: TopK(500)])
@pytest.mark.parametrize("T", [40, 500])
def test_a_branch_at_a_length_is_seen_where_the_length_is_asked_for(make, T):
    found = trace(Target.of_module(make()), phase="forward", B=1, T=T)
    assert found.flops.total(Kind.CONTRACTION) == flops_of_a_real_run(make(), T)
    assert T in found.lengths
    assert not found.extrapolated


@pytest.fixture(scope="module")
def far():
    return seqcost.count(nn.RNN(8, 8, batch_first=True), length=5000)


def test_beyond_what_was_seen_the_answer_says_so(far):
    data = far.to_dict()
    assert 160 < data["seen_to"] < 5000
    assert data["conventions"]["extrapolated"].startswith(f"extrapolated from T ≤ {data['seen_to']:,}")
    assert f"extrapolated from T ≤ {data['seen_to']:,}" in totals_table(data).title
    assert f"extrapolated from T ≤ {data['seen_to']:,}" in lengths_table([data]).title


def test_within_what_was_seen_nothing_is_said():
    data = seqcost.count(nn.Linear(8, 8), length=500).to_dict()
    assert data["seen_to"] == 500
    assert "extrapolated" not in data["conventions"]
    assert "extrapolated" not in totals_table(data).title


def test_formulas_hold_at_any_length():
    data = seqcost.count("gpt2", length=10**12).to_dict()
    assert data["seen_to"] is None
    assert "extrapolated" not in data["conventions"]


@pytest.mark.parametrize("k", [64, 100, 700])
def test_a_formula_above_what_is_attended_to_at_most(k):
    assert named_limits(TopK(k)) == {k}
    found = trace(Target.of_module(TopK(k)), phase="forward", B=1, T=40)
    formula = found.polynomials["flops"]
    for T in (k + 5, 1621):
        assert not formula.exact or formula(T) == flops_of_a_real_run(TopK(k), T)


def test_a_formula_of_fractions_is_none():
    """A third of T² is no number of operators at T = 1, whatever passes through the lengths seen."""
    bent = {n: Fraction(-(n**2), 3) + 40 * n for n in (3, 6, 9, 12, 15, 18)}
    assert not curve(bent).exact
    assert curve({n: n * (n + 1) // 2 for n in (3, 6, 9, 12, 15)})(100) == 5050
    falling = {n: 1000 - n for n in (8, 17, 64, 129, 200)}
    assert not curve(falling | {900: 100}).exact
