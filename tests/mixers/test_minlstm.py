"""minLSTM: the papers' counts, minGRU-pytorch's minLSTM with the same weights, its carried state, and long texts."""

import math

import pytest
import small
import torch
from oracles import assert_agree, relative_error, same

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload
from seqcost.formulas.mixers.minlstm import MinLstm as Formula
from seqcost.layers import MinLstm

VARIANTS = (
    small.Variant("minlstm-layer", "minlstm-layer", small.scanned(), {"C": 4}),
    small.Variant(
        "minlstm-layer-widths-differ",
        "minlstm-layer",
        small.scanned(N=(1, 5, 24)),
        {"C": 4, "project": True, "bias": True},
    ),
    small.Variant("minlstm", "minlstm", small.scanned(**small.SCANNED_MODEL, F=(7, 24)), {"C": 4}),
)

D, T = symbols("DT").values()


def theirs(D, expansion=1.0):
    package = pytest.importorskip("minGRU_pytorch.minLSTM", reason="minGRU-pytorch is the independent implementation")
    return package.minLSTM(D, expansion_factor=expansion)


def twins(D=24, N=24):
    torch.manual_seed(0)
    other, ours = theirs(D, N / D), MinLstm(D=D, N=N)
    with torch.no_grad():
        ours.input.weight.copy_(other.to_hidden_and_f_i_gate.weight)
        if ours.config.project:
            ours.output.weight.copy_(other.to_out.weight)
    return ours, other


def loop(layer, x_BTD, h_BN):
    """The paper's equations, in the dtype of x."""
    outputs = []
    for x_BD in x_BTD.unbind(1):
        candidate, forget, write = (x_BD @ layer.input.weight.T.to(x_BD.dtype)).chunk(3, -1)
        f, i = forget.sigmoid(), write.sigmoid()
        h_BN = (f * h_BN + i * torch.where(candidate >= 0, candidate + 0.5, candidate.sigmoid())) / (f + i)
        outputs.append(h_BN)
    return torch.stack(outputs, 1)


def test_parameters_of_the_paper():
    # O(3·d_h·d_x) in place of an LSTM's O(4·d_h·(d_x + d_h)).
    assert Formula(D=64, N=256, project=False).params().total() == 3 * 64 * 256
    assert Formula(D=64, N=128).params().total() == sum(p.numel() for p in theirs(64, 2.0).parameters())


def test_a_token_is_three_products_and_the_leading_term_is_6_t_d_n():
    layer = Formula(D=D)
    assert layer.flops(Workload(T=T)).leading("T", Kind.CONTRACTION) == 6 * T * D**2
    assert Formula(D=64).step_flops(Workload(T=9)).total(Kind.CONTRACTION) == 6 * 64 * 64
    assert Formula(D=64).state_bytes(Workload(B=3, T=1000)).total() == 3 * 64 * 4


@pytest.mark.parametrize("N", [24, 36])
def test_equals_the_package_in_outputs_and_gradients(N):
    ours, other = twins(N=N)
    x = torch.randn(2, 50, 24)
    ours_x, their_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    table = {"input.weight": same("to_hidden_and_f_i_gate.weight")}
    table |= {"output.weight": same("to_out.weight")} if N != 24 else {}
    assert_agree(ours, other, table, (ours(ours_x), other(their_x)), ((ours_x,), (their_x,)))


def test_steps_equal_those_of_the_package():
    ours, other = twins()
    x, state, carried = torch.randn(2, 12, 24), ours.init_state(2), None
    for t in range(12):
        y, state = ours.step(x[:, t], state)
        their_y, carried = other(x[:, t : t + 1], carried, return_next_prev_hidden=True)
        assert relative_error(y, their_y[:, 0]) < 1e-5


def test_carries_a_state_over_chunks_where_the_package_does_not():
    # Its chunk takes log g(h) where log h belongs, so what it carries on with is 17–20 % off.
    ours, other = twins()
    x = torch.randn(2, 40, 24)
    whole = loop(ours, x.double(), torch.zeros(2, 24, dtype=torch.float64))
    _, state = ours.extend(x[:, :17], ours.init_state(2))
    assert relative_error(ours.extend(x[:, 17:], state)[0].double(), whole[:, 17:]) < 1e-6
    _, carried = other(x[:, :17], return_next_prev_hidden=True)
    assert relative_error(other(x[:, 17:], carried).double(), whole[:, 17:]) > 0.05


@pytest.mark.parametrize("C", [2, 7, 512])
def test_the_chunk_changes_nothing(C):
    small, large = MinLstm(D=12, C=16).double(), MinLstm(D=12, C=C).double()
    large.load_state_dict(small.state_dict())
    x = torch.randn(2, 100, 12, dtype=torch.float64)
    assert relative_error(large(x), small(x)) < 1e-13


def test_thousands_of_tokens_in_float32_as_in_float64():
    layer, T = MinLstm(D=16), 2000
    x = 3 * torch.randn(1, T, 16)
    with torch.no_grad():
        exact = loop(layer, x.double(), torch.zeros(1, 16, dtype=torch.float64))
        assert relative_error(layer(x).double(), exact) < 2e-6 * math.sqrt(T / 64) / 5


def test_gates_that_are_both_shut_still_add_up_to_1():
    layer = MinLstm(D=8)
    x = (1e4 * torch.randn(1, 40, 8)).requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    with torch.no_grad():
        assert not loop(layer, x, torch.zeros(1, 8)).isfinite().all()  # f/(f + i) as it stands is 0/0 there
