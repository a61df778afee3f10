"""Rows of a trace: their kernels and sizes by definition; Bills, coverage and depth are readings of them."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

import seqcost
from seqcost.algebra import Kind
from seqcost.algebra.work import Direction, Kernel, depth_of, flops_of, traffic_of
from seqcost.errors import UnknownName
from seqcost.programs import Target
from seqcost.trace import forget_operator, ladder, trace

B, T, D, H = 2, 6, 8, 2


class Of(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def rows(function, *inputs, phase="forward"):
    module = function if isinstance(function, nn.Module) else Of(function)
    return trace(Target.of_module(module, inputs), phase=phase, lengths=()).rows


x = torch.randn(B, T, D)
wanting = torch.randn(B, T, D, requires_grad=True)
heads = torch.randn(B, H, T, 4)
# A call of one operator: its kernel, and the sizes of the launch as its definition has them.
LAUNCHES = {
    "mm": (lambda a: a[0] @ a[1].T, x, Kernel.PRODUCT, (T, D, T)),
    "mv": (lambda a: a[0] @ a[1, 0], x, Kernel.PRODUCT, (T, D, 1)),
    "linear": (nn.Linear(D, 5), x, Kernel.PRODUCT, (B * T, D, 5)),
    "bmm": (lambda a: a @ a.transpose(1, 2), x, Kernel.BATCHED_PRODUCT, (B, T, D, T)),
    "attention": (
        lambda q: functional.scaled_dot_product_attention(q, q, q), heads, Kernel.ATTENTION, (B, H, T, T, 4, 4)
    ),
    "convolution": (nn.Conv1d(T, 4, 3), x, Kernel.CONVOLUTION, (B, T, 4, 3, D - 2)),
    "convolution-in-groups": (nn.Conv1d(T, 9, 3, groups=3), x, Kernel.CONVOLUTION, (B, T // 3, 9, 3, D - 2)),
    "convolution-transposed": (
        nn.ConvTranspose1d(T, 9, 3, groups=3), x, Kernel.CONVOLUTION, (B, T // 3, 9, 3, D + 2)
    ),
    "bag": (nn.EmbeddingBag(9, D, mode="sum"), torch.zeros(B, T, dtype=torch.int64), Kernel.GATHER, (B * T * D,)),
    "add": (lambda a: a + a, x, Kernel.ELEMENTWISE, (B * T * D,)),
    "sum": (lambda a: a.sum(1), x, Kernel.REDUCTION, (B * D, T)),
    "cumsum": (lambda a: a.cumsum(1), x, Kernel.SCAN, (B * D, T)),
    "softmax": (lambda a: a.softmax(1), x, Kernel.SOFTMAX, (B * D, T)),
    "norm": (nn.LayerNorm(D), x, Kernel.NORM, (B * T, D)),
    "group-norm": (nn.GroupNorm(3, T), x, Kernel.NORM, (B * 3, T // 3 * D)),
    "sort": (lambda a: a.sort(dim=1).values, x, Kernel.SORT, (B * D, T)),
    "fft": (lambda a: torch.fft.rfft(a, dim=1), x, Kernel.FFT, (B * D, T)),
    "clone": (torch.clone, x, Kernel.COPY, (B * T * D,)),
    "embedding": (nn.Embedding(9, D), torch.zeros(B, T, dtype=torch.int64), Kernel.GATHER, (B * T * D,)),
    "cholesky": (torch.linalg.cholesky, torch.eye(T).expand(B, T, T), Kernel.FACTORISATION, (B, T, T)),
    "lstm": (nn.LSTM(D, 5, batch_first=True), x, Kernel.RECURRENCE, (T, B, D, 5)),
}  # fmt: skip


# A call whose gradient is put where it came from: as many elements as are put.
PUT = {
    "embedding": (nn.Embedding(9, D), torch.zeros(B, T, dtype=torch.int64), B * T * D),
    "bag": (nn.EmbeddingBag(9, D, mode="sum"), torch.zeros(B, T, dtype=torch.int64), B * T * D),
    "windows": (lambda a: a.unfold(1, 4, 2), wanting, B * (T - 2) // 2 * D * 4),
    "look-up": (lambda a: a[torch.tensor([0, 0, 1])], wanting, 3 * T * D),
    "cross-entropy": (lambda a: functional.cross_entropy(a.view(B * T, D), torch.zeros(B * T).long()), wanting, B * T),
}


@pytest.mark.parametrize("name", PUT)
def test_a_gradient_is_put_as_many_times_as_it_has_elements(name):
    function, given, put = PUT[name]
    assert [row.sizes for row in rows(function, given, phase="train") if row.kernel is Kernel.SCATTER] == [(put,)]


def test_an_operator_is_named_without_its_form_and_new_memory_is_counted():
    found = rows(lambda a: torch.add(a[:, 1:].clone(), 1, out=torch.empty(B, T - 1, D)).mul_(2).split(2, dim=-1)[0], x)
    one = 4 * B * (T - 1) * D
    assert [(row.operator, row.launches, row.fresh) for row in found] == [
        ("clone", 1, one), ("empty", 1, one), ("add", 1, 0), ("mul", 1, 0)
    ]  # fmt: skip


@pytest.mark.parametrize("name", LAUNCHES)
def test_a_launch_is_of_a_kernel_and_of_sizes(name):
    function, given, kernel, sizes = LAUNCHES[name]
    assert [row.sizes for row in rows(function, given) if row.kernel is kernel] == [sizes]


def test_an_operator_of_nobody_is_other_and_not_counted():
    @torch.library.custom_op("seqcost_rows::own", mutates_args=())
    def own(a: torch.Tensor) -> torch.Tensor:
        return a * 2

    own.register_fake(torch.empty_like)
    (row,) = rows(lambda a: own(a), x)
    assert (row.kernel, row.counted, row.launches, row.bytes) == (Kernel.OTHER, False, 1, 2 * 4 * B * T * D)
    assert (row.operator, row.fresh) == ("seqcost_rows::own", 4 * B * T * D)


def test_a_registered_operator_says_its_kernel():
    @torch.library.custom_op("seqcost_rows::scan", mutates_args=())
    def scan(a: torch.Tensor) -> torch.Tensor:
        return a * 2

    scan.register_fake(torch.empty_like)
    with pytest.raises(UnknownName, match="unknown kernel 'scna': did you mean scan"):
        seqcost.register_operator(scan, pointwise=lambda a, out: a.numel(), kernel="scna")
    seqcost.register_operator(scan, pointwise=lambda a, out: a.numel(), kernel="scan")
    try:
        (row,) = rows(lambda a: scan(a), x)
        assert (row.kernel, row.counted, row.pointwise) == (Kernel.SCAN, True, B * T * D)
    finally:
        forget_operator(scan)


@pytest.fixture(scope="module")
def step():
    layer = nn.TransformerEncoderLayer(D, H, 16, batch_first=True)
    return trace(Target.of_module(layer, (x,)), phase="train", lengths=(), optimizer="adamw")


def test_bills_are_readings_of_rows(step):
    assert flops_of(step.rows).total(Kind.CONTRACTION) == step.flops.total(Kind.CONTRACTION) > 0
    assert flops_of(step.rows).total(Kind.POINTWISE) == step.flops.total(Kind.POINTWISE) > 0
    assert traffic_of(step.rows).total() == step.traffic.total() > 0
    assert {row.direction for row in step.rows} == set(Direction)


def test_the_longest_chain_is_made_of_steps_of_rows(step):
    assert depth_of(step.rows).total() == step.depth
    assert all(0 <= row.steps <= row.launches for row in step.rows)
    chain = rows(lambda a: (a.relu().tanh() * a.sin()).exp(), x)
    assert [(row.name, row.steps) for row in chain] == [
        ("aten::relu", 1), ("aten::tanh", 1), ("aten::sin", 0), ("aten::mul", 1), ("aten::exp", 1)
    ]  # fmt: skip


class Loop(nn.Module):
    def forward(self, a):
        y = a[:, 0]
        for t in range(a.shape[1]):
            y = (y + a[:, t]).tanh()
        return y


def test_a_run_that_was_derived_keeps_its_sums():
    target = Target("loop", lambda batch, length: (Loop(), torch.randn(batch, length, D)), takes_sizes=True)
    found = trace(target, phase="forward", B=B, T=5000)
    assert found.extrapolated
    assert depth_of(found.rows).total() == found.depth == 10_000
    assert sum(row.launches for row in found.rows) == 10_000
    assert [(row.name, row.launches, row.sizes) for row in found.rows] == [
        ("aten::add", 5000, (B * D,)), ("aten::tanh", 5000, (B * D,)), ("chain", 0, ())
    ]  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.given, self.carried = nn.Linear(D, D), nn.Linear(D, D)

    def forward(self, a):
        z, y, steps = self.given(a), a[:, 0], []
        for t in range(a.shape[1]):
            y = (self.carried(y) + z[:, t]).tanh()
            steps.append(y)
        return torch.stack(steps, 1)


class Prefixes(nn.Module):
    def forward(self, a):
        y = a[:, 0]
        for t in range(a.shape[1]):
            y = (y + a[:, : t + 1].exp().sum(1)).tanh()
        return y


@pytest.fixture
def loops_are_derived(monkeypatch):
    """From runs of few steps, though longer ones could be followed."""
    for limit in ("_LONGEST_LOOP", "_MANY_OPERATORS", "_QUICK_CALLS"):
        monkeypatch.setattr(ladder, limit, 0)


def both_ways(module, phase, T):
    """The rows of a run at T, followed and derived."""
    target = Target("loop", lambda batch, length: (module, torch.randn(batch, length, D)), takes_sizes=True)
    followed = trace(target, phase=phase, B=B, T=T, lengths=())
    derived = trace(target, phase=phase, B=B, T=T)
    assert derived.extrapolated
    return followed.rows, [row for row in derived.rows if row.name != "chain"]


@pytest.mark.parametrize(
    ("module", "phase"), [(Loop, "forward"), (Recurrent, "forward"), (Recurrent, "train")], ids=str
)
def test_a_run_that_was_derived_has_the_shapes_of_one_that_is_followed(module, phase, loops_are_derived):
    followed, derived = both_ways(module(), phase, 100)

    def told(row):
        operands = () if row.operator == "stack" else row.operands  # one of each step
        return replace(row, steps=0, operands=operands)

    assert [told(row) for row in derived] == [told(row) for row in followed]
    assert all(row.sizes for row in derived)


def test_where_every_step_has_shapes_of_its_own_none_are_said(loops_are_derived):
    followed, derived = both_ways(Prefixes(), "forward", 100)
    assert {row.operator: row.sizes for row in derived} == {"exp": (), "sum": (), "add": (B * D,), "tanh": (B * D,)}
    assert sum(row.bytes for row in derived) == sum(row.bytes for row in followed)
    assert sum(row.fresh for row in derived) == sum(row.fresh for row in followed)


def test_watching_gives_rows_as_well():
    with seqcost.watch() as seen:
        nn.Linear(D, 5)(x)
    assert [(row.path, row.name, row.kernel, row.sizes) for row in seen.rows if row.contraction] == [
        ("Linear", "aten::addmm", Kernel.PRODUCT, (B * T, D, 5))
    ]
