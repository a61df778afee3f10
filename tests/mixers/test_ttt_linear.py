"""TTT-Linear: a brute-force loop, the papers' counts, splits inside a mini-batch, long sequences."""

import math
from dataclasses import replace

import pytest
import small
import torch
from inner_learning import brute_force, difference, in_pieces, learner
from oracles import relative_error
from torch.utils._python_dispatch import TorchDispatchMode

from seqcost.algebra import Kind, symbol
from seqcost.algebra.work import Kernel
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.mixers.ttt_linear import TttLinear as Formula
from seqcost.layers import TttLinear
from seqcost.questions.answers.phases import by_formula

VARIANTS = (
    small.Variant("ttt-linear-layer", "ttt-linear-layer", small.learner()),
    small.Variant("ttt-linear-gate-free-head-width", "ttt-linear-layer", small.learner(free=True), {"gate": True}),
    small.Variant("ttt-linear", "ttt-linear", small.learner(model=True)),
)


@pytest.mark.parametrize(
    "sizes",
    [
        {"D": 8, "H": 2, "C": 4},
        {"D": 5, "H": 2, "K": 6, "C": 3, "gate": True, "base_rate": 3.0},
        {"D": 8, "H": 1, "C": 16},  # not one mini-batch is full
        {"D": 8, "H": 2, "C": 1},  # online gradient descent
    ],
    ids=str,
)
def test_equals_a_loop_over_tokens_in_outputs_and_gradients(sizes):
    layer = learner(TttLinear, **sizes)
    x = torch.randn(2, 11, sizes["D"], dtype=torch.float64, requires_grad=True)
    assert difference(layer, x, layer(x), brute_force(layer, x)) < 1e-12


def test_the_gradient_goes_through_the_inner_gradients():
    # The rates are learned through them alone.
    layer = learner(TttLinear, D=8, H=2, C=4)
    x = torch.randn(2, 11, 8, dtype=torch.float64)
    layer(x).square().sum().backward()
    assert layer.rate.weight.grad.abs().max() > 1e-4
    assert layer.key.weight.grad.abs().max() > 1e-4
    assert layer.value.weight.grad.abs().max() > 1e-4


@pytest.mark.parametrize("split", [[10, 22, 16], [24, 24], [6] * 8, [1, 30, 17], [47, 1]], ids=str)
def test_splits_inside_a_mini_batch_that_the_authors_code_refuses(split):
    layer = learner(TttLinear, D=8, H=2, C=16)
    x = torch.randn(2, 48, 8, dtype=torch.float64, requires_grad=True)
    assert difference(layer, x, in_pieces(layer, x, split), layer(x)) < 1e-12


def test_a_state_carries_the_gradients_of_the_open_mini_batch():
    layer = learner(TttLinear, D=8, H=2, C=4)
    x = torch.randn(2, 8, 8, dtype=torch.float64)
    whole = layer(x)[:, 6:]
    _, state = layer.extend(x[:, :6], layer.init_state(2))
    assert state.place == 2
    assert relative_error(layer.extend(x[:, 6:], state)[0], whole) < 1e-12
    forgotten = replace(state, sums=tuple(torch.zeros_like(s) for s in state.sums))
    assert relative_error(layer.extend(x[:, 6:], forgotten)[0], whole) > 1e-3
    assert relative_error(layer.extend(x[:, 6:], replace(state, place=0))[0], whole) > 1e-3


def test_at_place_0_the_sums_are_not_looked_at():
    layer = learner(TttLinear, D=8, H=2, C=4)
    x = torch.randn(2, 9, 8, dtype=torch.float64)
    _, state = layer.extend(x[:, :4], layer.init_state(2))
    assert state.place == 0
    anything = replace(state, sums=tuple(torch.full_like(s, torch.nan) for s in state.sums))
    assert torch.equal(layer.extend(x[:, 4:], anything)[0], layer.extend(x[:, 4:], state)[0])
    assert torch.equal(layer.step(x[:, 4], anything)[0], layer.step(x[:, 4], state)[0])


def test_a_rate_of_a_place_is_not_below_0():
    layer = learner(TttLinear, D=8, H=2, C=4)
    with torch.no_grad():
        layer.place_rate.fill_(-2)
    x = torch.randn(2, 9, 8, dtype=torch.float64, requires_grad=True)
    y = layer(x)
    assert difference(layer, x, y, brute_force(layer, x)) < 1e-12
    y[:, 5].sum().backward()
    assert x.grad[:, :5].abs().max() == 0  # nothing is learned, so nothing is remembered


@pytest.mark.parametrize("T", [63, 2000])
def test_float32_stays_close_over_long_sequences(T):
    layer = learner(TttLinear, torch.float32, D=32, H=2, C=16)
    exact = learner(TttLinear, D=32, H=2, C=16)
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(2, T, 32)
    with torch.no_grad():
        assert relative_error(layer(x).double(), exact(x.double())) < 2e-6 * math.sqrt(max(T, 64) / 64)


def test_a_narrow_format_carries_a_float32_state():
    layer = learner(TttLinear, torch.bfloat16, D=8, H=2, C=4)
    y, state = layer.extend(torch.randn(2, 6, 8, dtype=torch.bfloat16), layer.init_state(2))
    assert y.dtype == torch.bfloat16
    assert {t.dtype for t in state.tensors()} == {torch.float32}
    run = Workload(B=2, T=6, itemsize=2)
    assert layer.config.state_bytes(run).total() == state.nbytes


def test_parameters_of_the_authors_code():
    assert Formula(D=64, H=4).params().total() == 18_004
    assert Formula(D=64, H=4, gate=True).params().total() == 18_004 + 64 * 64


@pytest.mark.parametrize(("D", "H", "C"), [(64, 4, 16), (48, 2, 8)])
def test_products_of_a_token(D, H, C):
    # Dual form, a token: k W, q W and the update 6·D·K; q kᵀ and its product with the gradients 4·C·D, where the bias
    # shares a product that the authors' code makes twice (6·C·D); the update of the bias 2·D. Nobody asks for the
    # update after the last mini-batch.
    K, T = D // H, 64 * C
    projections, update = 8 * D * D + 2 * D * H, 2 * D * K + 2 * D
    forward = Formula(D=D, H=H, C=C).flops(Workload(T=T)).total(Kind.CONTRACTION)
    assert forward == T * (projections + 4 * D * K + 4 * C * D) + (T - C) * update
    step = Formula(D=D, H=H, C=C).step_flops(Workload(T=T)).total(Kind.CONTRACTION)
    assert step == projections + 4 * D * K + update


def test_the_state_does_not_grow_and_a_step_costs_the_same_at_every_place():
    layer = Formula(D=64, H=4)
    runs = [Workload(T=T) for T in (1, 15, 16, 17, 1000)]
    assert {layer.state_bytes(run).total() for run in runs} == {2 * 64 * (16 + 1) * 4}
    assert len({layer.step_flops(run).total(*Kind) for run in runs}) == 1
    assert len({layer.bytes_moved(run.step()).total() for run in runs}) == 1


def test_a_cost_is_that_of_whole_mini_batches():
    layer = Formula(D=64, H=4)
    core = [layer.flops(Workload(T=T)).select("key_inner").total(*Kind) for T in (1, 16, 17, 32)]
    assert core[0] == core[1] < core[2] == core[3]


@pytest.mark.parametrize("B", [1, 2])
@pytest.mark.parametrize("C", [1, 4])
def test_the_sums_of_a_real_training_step(B, C):
    # The first model has an axis more for the batch, and autograd sums over a new axis though it be one sequence.
    layer = TttLinear(D=8, H=2, C=C)
    with Sums() as sums:
        layer(torch.randn(B, 9, 8)).sum().backward()
    rows = by_formula(layer.config, Workload(B=B, T=9), "train").rows
    assert sum(row.launches for row in rows if row.kernel is Kernel.REDUCTION) == sums.seen


def test_a_mini_batch_of_one_token_by_letters():
    # No axis of tokens is summed over there, be C a number or a letter.
    C, T = symbol("C"), symbol("T")
    by_letters = Formula(D=8, H=2, C=C).backward_flops(Workload(T=T)).substitute(C=1, T=9)
    assert by_letters.total(*Kind) == Formula(D=8, H=2, C=1).backward_flops(Workload(T=9)).total(*Kind)


class Sums(TorchDispatchMode):
    """How many sums and means are run."""

    seen = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen += func.overloadpacket in (torch.ops.aten.sum, torch.ops.aten.mean)
        return func(*args, **kwargs or {})


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"D": 12, "H": 5}, "12 does not divide by 5"),
        ({"D": 12, "H": 4}, "RoPE: head width K: 3 does not divide by 2"),
        ({"D": 12, "H": 2, "C": 0}, "C = 0 was given"),
        ({"D": 12, "H": 2, "base_rate": 0.0}, "give a number above 0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, sentence):
    with pytest.raises(BadSize, match=sentence):
        Formula(**sizes)
