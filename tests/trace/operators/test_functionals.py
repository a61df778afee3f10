"""Functions of torch and torch.nn.functional: what the trace books equals a count of the tests' own, or is listed."""

from collections import Counter

import pytest
import torch
from independent_count import counted, kept_bytes, trains
from operator_calls import Apply, calls

from seqcost.algebra import Kind
from seqcost.programs import Target
from seqcost.trace import trace

pytestmark = pytest.mark.filterwarnings("ignore")  # of PyTorch, about slow ways that it takes

CALLS = calls()
# Operators whose FLOPs are not counted and are listed: as many steps as their values ask for, and what needs them.
LISTED = {
    "linalg.svd": {"aten::_linalg_svd"},
    "linalg.svdvals": {"aten::_linalg_svd"},
    "linalg.pinv": {"aten::linalg_pinv"},
    "linalg.eigvalsh": {"aten::_linalg_eigh"},
    "matrix_exp": {"aten::linalg_matrix_exp"},
}
# On fake tensors PyTorch compares with every class where it scatters ones on a CPU, after a look at the largest.
# A bag's result was larger before it was cut down, which its storage still is.
OTHERWISE = {("F.one_hot", "forward"): "bytes", ("F.embedding_bag", "train"): "fresh"}


# Code that asks for values, or whose results have as many rows as values say: traced on real tensors.
REAL = {
    "F.gaussian_nll_loss", "F.multi_margin_loss", "bincount", "combinations", "corrcoef", "cov", "masked_select",
    "nonzero", "unique",
}  # fmt: skip


def check(name, function, inputs, phase):
    if phase == "train" and not trains(function, inputs):
        return
    own = counted(function, inputs, phase)
    wanting = tuple(t.clone().requires_grad_(t.is_floating_point()) for t in inputs)
    found = trace(Target.of_module(Apply(function), wanting), phase=phase, lengths=())
    assert {row.operator for row in found.uncounted} - LISTED.get(name, set()) == set()
    assert found.rung == "fake tensors" or name in REAL
    assert found.flops.total(Kind.CONTRACTION) == own.flops
    otherwise = OTHERWISE.get((name, phase))
    assert (found.traffic.total() != own.bytes) == (otherwise == "bytes")  # else the exception is one no more
    if otherwise != "bytes":
        launches, fresh = Counter(), Counter()
        for row in found.rows:
            launches[row.operator] += row.launches
            fresh[row.operator] += row.fresh
        assert launches == own.kernels
        summed = {"add"} if phase == "train" else set()  # gradients that meet, in place where there is no mode
        differing = {name for name in launches if fresh[name] != own.fresh[name]} - summed
        assert bool(differing) == (otherwise == "fresh")
    if phase == "forward" and trains(function, inputs):
        assert found.saved.total() == kept_bytes(function, inputs)


@pytest.mark.parametrize("phase", ["forward", "train"])
@pytest.mark.parametrize("name", sorted(CALLS)[::6])
def test_some(name, phase):
    check(name, *CALLS[name], phase)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 3))
@pytest.mark.parametrize("phase", ["forward", "train"])
def test_all_at_further_shapes(seed, phase):
    wrong = {}
    for name, call in calls(seed).items():
        try:
            check(name, *call, phase)
        except AssertionError as error:
            wrong[name] = str(error)
    assert wrong == {}
    assert len(CALLS) >= 300


def test_the_count_of_the_tests_own_can_differ():
    x = torch.randn(3, 4)
    mode = counted(lambda a: a @ a.T, (x,), "forward")
    assert (mode.flops, mode.bytes) == (2 * 9 * 4, 4 * (2 * 12 + 9))  # the two views have other strides
    with pytest.raises(AssertionError):
        check(
            "two", lambda a: a.exp() if isinstance(a, torch._subclasses.FakeTensor) else a.exp().exp(), (x,), "forward"
        )
