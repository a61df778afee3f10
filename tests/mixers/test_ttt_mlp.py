"""TTT-MLP: a brute-force loop, the papers' counts, splits inside a mini-batch, long sequences."""

import math

import pytest
import small
import torch
from inner_learning import brute_force, difference, in_pieces, learner
from oracles import relative_error
from torch.nn import functional

from seqcost.algebra import Kind
from seqcost.formulas import Workload
from seqcost.formulas.mixers.ttt_mlp import TttMlp as Formula
from seqcost.layers import TttMlp
from seqcost.layers.ops.ttt import gelu_and_slope

VARIANTS = (
    small.Variant("ttt-mlp-layer", "ttt-mlp-layer", small.learner()),
    small.Variant("ttt-mlp-gate-hidden-width", "ttt-mlp-layer", small.learner(hidden=True), {"gate": True}),
    small.Variant("ttt-mlp", "ttt-mlp", small.learner(model=True)),
)


@pytest.mark.parametrize(
    "sizes",
    [
        {"D": 8, "H": 2, "C": 4},
        {"D": 5, "H": 2, "K": 6, "N": 7, "C": 3, "gate": True, "base_rate": 2.0},
        {"D": 8, "H": 1, "C": 16},  # not one mini-batch is full
    ],
    ids=str,
)
def test_equals_a_loop_over_tokens_in_outputs_and_gradients(sizes):
    layer = learner(TttMlp, **sizes)
    x = torch.randn(2, 11, sizes["D"], dtype=torch.float64, requires_grad=True)
    assert difference(layer, x, layer(x), brute_force(layer, x)) < 1e-12


@pytest.mark.parametrize("split", [[10, 22, 16], [24, 24], [6] * 8, [1, 30, 17], [47, 1]], ids=str)
def test_splits_inside_a_mini_batch_that_the_authors_code_refuses(split):
    layer = learner(TttMlp, D=8, H=2, C=16)
    x = torch.randn(2, 48, 8, dtype=torch.float64, requires_grad=True)
    assert difference(layer, x, in_pieces(layer, x, split), layer(x)) < 1e-12


def test_gelu_and_its_slope():
    x = torch.linspace(-12, 12, 400, dtype=torch.float64, requires_grad=True)
    y, slope = gelu_and_slope(x)
    exact = functional.gelu(x, approximate="tanh")
    assert relative_error(y, exact) < 1e-14
    assert relative_error(slope, torch.autograd.grad(exact.sum(), x)[0]) < 1e-13
    far = gelu_and_slope(torch.tensor([-1e4, 1e4]))
    assert all(part.isfinite().all() for part in far)


@pytest.mark.parametrize("T", [63, 2000])
def test_float32_stays_close_over_long_sequences(T):
    layer = learner(TttMlp, torch.float32, D=32, H=2, C=16)
    exact = learner(TttMlp, D=32, H=2, C=16)
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(2, T, 32)
    with torch.no_grad():
        assert relative_error(layer(x).double(), exact(x.double())) < 2e-6 * math.sqrt(max(T, 64) / 64)


def test_parameters_of_the_authors_code():
    assert Formula(D=64, H=4).params().total() == 25_428


@pytest.mark.parametrize(("D", "H", "C"), [(64, 4, 16), (48, 2, 8)])
def test_products_of_a_token(D, H, C):
    # Dual form, a token: seven products of K by 4·K; in the mini-batch q kᵀ and h Xᵀ (2 + 8) and their products with
    # the gradients (8 + 2), where the bias shares a product that the authors' code makes twice (30·C·D); the update of
    # the biases 10·D. Nobody asks for the update after the last mini-batch.
    K, T = D // H, 64 * C
    projections, update = 8 * D * D + 2 * D * H, 16 * D * K + 10 * D
    forward = Formula(D=D, H=H, C=C).flops(Workload(T=T)).total(Kind.CONTRACTION)
    assert forward == T * (projections + 40 * D * K + 20 * C * D) + (T - C) * update
    step = Formula(D=D, H=H, C=C).step_flops(Workload(T=T)).total(Kind.CONTRACTION)
    assert step == projections + 40 * D * K + update


def test_the_state_does_not_grow_and_a_step_costs_the_same_at_every_place():
    layer = Formula(D=64, H=4)
    runs = [Workload(T=T) for T in (1, 15, 16, 17, 1000)]
    assert {layer.state_bytes(run).total() for run in runs} == {2 * (8 * 64 * 16 + 5 * 64) * 4}
    assert len({layer.step_flops(run).total(*Kind) for run in runs}) == 1
    assert len({layer.bytes_moved(run.step()).total() for run in runs}) == 1
