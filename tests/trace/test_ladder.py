"""Rungs, lengths, polynomials and refusals."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from seqcost.algebra import Kind
from seqcost.errors import BadSize, BadTarget, TraceFailed, UnknownName
from seqcost.programs import Target
from seqcost.trace import forget_operator, register_operator, trace
from seqcost.trace.book.memory import Memory

LIBRARY = torch.library.Library("seqcost_test", "DEF")
LIBRARY.define("double(Tensor x) -> Tensor")
LIBRARY.impl("double", lambda x: x * 2, "CPU")
torch.library.register_fake("seqcost_test::double", torch.empty_like, lib=LIBRARY)


class Double(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        return torch.ops.seqcost_test.double(self.linear(x))


class CubeRootRows(nn.Module):
    """Keeps ⌊√T⌋ tokens: no polynomial in T."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        return self.linear(x[:, : int(x.shape[1] ** 0.5)])


class AsksForValues(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        return self.linear(x) if x.sum().item() < 1e9 else x


class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x):
        raise ArithmeticError("the house is on fire")


def of(module, inputs=None, phase="forward", **options):
    options = ({"B": 2, "T": 64} if inputs is None else {}) | options
    return trace(Target.of_module(module, inputs), phase=phase, **options)


def test_an_unknown_operator_is_listed_and_not_silently_zero():
    result = of(Double())
    (missing,) = result.uncounted
    assert (missing.operator, missing.calls, missing.moved_bytes) == ("seqcost_test::double", 1, 2 * 2 * 64 * 8 * 4)
    assert result.coverage.operators == pytest.approx(1 / 2)
    assert 0 < result.coverage.moved_bytes < 1


def test_a_registered_operator_is_counted():
    register_operator(torch.ops.seqcost_test.double, pointwise=lambda x, out: x.numel())
    try:
        result = of(Double())
        assert result.uncounted == ()
        assert result.coverage.operators == 1
        assert result.flops.select("double").total() == 2 * 64 * 8
        with pytest.raises(BadTarget, match="has a formula already"):
            register_operator("seqcost_test::double", pointwise=lambda x, out: 0)
    finally:
        forget_operator("seqcost_test::double")
    assert len(of(Double()).uncounted) == 1


@pytest.mark.parametrize("name", ["double", "aten::", 3, None])
def test_registering_under_what_is_no_name(name):
    with pytest.raises(BadTarget, match="qualified name"):
        register_operator(name, pointwise=lambda x, out: 0)


def test_registering_a_known_operator_or_nothing():
    with pytest.raises(BadTarget, match="has a formula already"):
        register_operator("aten::mm", contraction=lambda *_, out: 0)
    with pytest.raises(BadTarget, match="without a formula"):
        register_operator("seqcost_test::other")


def test_no_polynomial_where_the_spare_points_disagree():
    result = of(CubeRootRows())
    assert not result.polynomials["flops"].exact
    assert result.flops.total(Kind.CONTRACTION) == 2 * 2 * 8 * 8 * 8


def test_polynomials_agree_with_the_run_at_T():
    result = of(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), T=77, phase="train")
    assert result.polynomials["flops"](77) == result.flops.total(Kind.CONTRACTION)
    assert result.polynomials["pointwise"](77) == result.flops.total(Kind.POINTWISE)
    assert result.polynomials["bytes_moved"](77) == result.traffic.total()
    assert result.polynomials["saved_bytes"](77) == result.saved.total()
    assert result.range == (8, 129)


def test_a_long_loop_is_derived_from_short_ones():
    module, T = nn.RNN(16, 24, batch_first=True), 500
    derived, run = of(module, T=T, phase="train"), of(module, T=T, phase="train", lengths=())
    assert T not in derived.lengths
    assert derived.extrapolated
    assert derived.seen_to == max(derived.lengths)
    assert not run.extrapolated
    assert run.lengths == (T,)
    for name in ("flops", "traffic", "saved", "depth", "peak_bytes", "params"):
        assert getattr(derived, name) == getattr(run, name), name


def test_values_that_are_asked_for_need_real_tensors():
    result = of(AsksForValues())
    assert result.rung == "real tensors"
    assert "fake tensors" in result.failed_rungs[0]
    assert result.flops.total(Kind.CONTRACTION) == 2 * 2 * 64 * 8 * 8
    assert of(AsksForValues(), T=10_000).flops.total(Kind.CONTRACTION) == 2 * 2 * 10_000 * 8 * 8


def test_every_failed_rung_gives_its_reason_in_one_sentence():
    with pytest.raises(TraceFailed, match=r"fake tensors: ArithmeticError.*real tensors: ArithmeticError") as caught:
        of(Raises())
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_inputs_that_came_along_show_one_length():
    result = of(nn.Linear(8, 8), torch.randn(3, 5, 8))
    assert result.rung == "fake tensors"
    assert (result.B, result.T, result.lengths) == (3, 5, (5,))
    assert result.polynomials == {}
    assert "inputs came with the module" in result.no_polynomials


class Unruly(AsksForValues):
    """Needs real tensors, rolls every die and keeps statistics."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(64)

    def forward(self, x):
        random.random(), np.random.rand(), torch.rand(1)  # noqa: NPY002
        return super().forward(self.norm(x))


@pytest.mark.parametrize("build", [Unruly, lambda: nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(64))])
def test_a_live_module_and_the_random_state_are_left_alone(build):
    module = build()
    module.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    identities = [id(p) for p in module.parameters()]
    torch.manual_seed(3), random.seed(3), np.random.seed(3)  # noqa: NPY002 - the global state is the subject
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    of(module, torch.randn(2, 64, 8, generator=torch.Generator()), phase="train")
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert [id(p) for p in module.parameters()] == identities
    assert all(p.grad is None for p in module.parameters())
    assert module.training
    assert not module._forward_hooks
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]  # noqa: NPY002


def test_depth_of_a_recurrence_grows_and_of_attention_does_not():
    recurrence = of(nn.RNN(8, 8, batch_first=True)).polynomials["depth"]
    attention = of(nn.MultiheadAttention(8, 2, batch_first=True)).polynomials["depth"]
    assert recurrence.exact
    assert (recurrence.degree, attention.degree) == (1, 0)
    assert recurrence(101) - recurrence(100) == 3  # product, addition, tanh
    assert of(nn.LSTM(8, 8, batch_first=True), T=50).depth - of(nn.LSTM(8, 8, batch_first=True), T=49).depth == 1


def test_half_precision_halves_the_traffic():
    target = Target("linear", lambda: nn.Linear(8, 8))
    full, half = (
        trace(target, phase="forward", B=2, T=16, dtype=dtype).traffic.total() for dtype in ("float32", "bfloat16")
    )
    assert full == 2 * half


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_sizes_that_are_none(size):
    with pytest.raises(BadSize, match="whole number"):
        of(nn.Linear(8, 8), T=size)


def test_names_that_are_none():
    with pytest.raises(UnknownName, match="unknown phase"):
        of(nn.Linear(8, 8), phase="forwards")
    with pytest.raises(UnknownName, match="unknown dtype"):
        trace(Target("linear", lambda: nn.Linear(8, 8)), phase="forward", B=1, T=8, dtype="float31")


def test_memory_counts_a_block_until_it_dies():
    memory = Memory()
    a = torch.empty(256)
    memory.hold(a)
    view = a[3:]
    memory.hold(view)
    assert memory.live_bytes == 1024
    del a
    assert memory.live_bytes == 1024
    del view
    assert memory.live_bytes == 0


def test_to_dict_is_plain():
    import json

    assert json.loads(json.dumps(of(nn.Linear(8, 8)).to_dict()))["rung"] == "fake tensors"
