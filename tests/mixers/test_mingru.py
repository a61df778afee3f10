"""minGRU: the papers' counts, minGRU-pytorch with the same weights, the log-space scan, and long texts."""

import math

import pytest
import small
import torch
from oracles import assert_agree, relative_error, same

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload
from seqcost.formulas.mixers.mingru import MinGru as Formula
from seqcost.layers import MinGru

VARIANTS = (
    small.Variant("mingru-layer", "mingru-layer", small.scanned(), {"C": 4}),
    small.Variant(
        "mingru-layer-widths-differ",
        "mingru-layer",
        small.scanned(N=(1, 5, 24)),
        {"C": 4, "project": True, "bias": True},
    ),
    small.Variant("mingru", "mingru", small.scanned(**small.SCANNED_MODEL, F=(7, 24)), {"C": 4}),
)

TABLE = {"input.weight": same("to_hidden_and_gate.weight")}
D, T = symbols("DT").values()


def theirs(D, expansion=1.0):
    package = pytest.importorskip("minGRU_pytorch.minGRU", reason="minGRU-pytorch is the independent implementation")
    return package.minGRU(D, expansion_factor=expansion)


def twins(D=24, N=24, **how):
    torch.manual_seed(0)
    other, ours = theirs(D, N / D), MinGru(D=D, N=N, **how)
    with torch.no_grad():
        ours.input.weight.copy_(other.to_hidden_and_gate.weight)
        if ours.config.project:
            ours.output.weight.copy_(other.to_out.weight)
    return ours, other


def log_space(a, b, h_0):
    """h_t = a_t h_{t−1} + b_t with all numbers above 0, by Heinsen's two running sums of logarithms."""
    log_a = a.log().cumsum(1)
    log_b = torch.cat([h_0.log().unsqueeze(1), b.log() - log_a], 1)
    return (log_a + log_b.logcumsumexp(1)[:, 1:]).exp()


def test_parameters_of_the_paper():
    # O(2·d_h·d_x) in place of a GRU's O(3·d_h·(d_x + d_h)).
    assert Formula(D=64, N=256, project=False).params().total() == 2 * 64 * 256
    assert Formula(D=64).params().total() == sum(p.numel() for p in theirs(64).parameters())
    assert Formula(D=64, N=128).params().total() == sum(p.numel() for p in theirs(64, 2.0).parameters())


def test_a_token_is_two_products_and_the_leading_term_is_4_t_d_n():
    layer = Formula(D=D)
    assert layer.flops(Workload(T=T)).leading("T", Kind.CONTRACTION) == 4 * T * D**2
    assert Formula(D=64, N=32, project=False).step_flops(Workload(T=9)).total(Kind.CONTRACTION) == 4 * 64 * 32
    assert Formula(D=64).state_bytes(Workload(B=3, T=1000)).total() == 3 * 64 * 4


def test_the_scan_is_shorter_than_the_text():
    # Two passes of C operators and ⌈T/C⌉ turns, where a GRU has eleven operators per token.
    assert Formula(D=D, C=32).depth(Workload(T=T)).leading("T") == T / 32
    assert Formula(D=8, C=32).depth(Workload(T=1024)).total() < 3 * 32 + 1024 // 32


@pytest.mark.parametrize("N", [24, 36])
def test_equals_the_package_in_outputs_and_gradients(N):
    ours, other = twins(N=N)
    x = torch.randn(2, 50, 24)
    ours_x, their_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    table = TABLE | ({"output.weight": same("to_out.weight")} if N != 24 else {})
    assert_agree(ours, other, table, (ours(ours_x), other(their_x)), ((ours_x,), (their_x,)))


def test_carries_what_the_package_carries():
    ours, other = twins()
    x = torch.randn(2, 40, 24)
    _, state = ours.extend(x[:, :17], ours.init_state(2))
    _, carried = other(x[:, :17], return_next_prev_hidden=True)
    assert relative_error(state.h_BN, carried[:, 0]) < 1e-5
    assert relative_error(ours.extend(x[:, 17:], state)[0], other(x[:, 17:], carried)) < 1e-5
    assert relative_error(ours.step(x[:, 17], state)[0], other(x[:, 17:18], carried)[:, 0]) < 1e-5


def test_the_log_space_scan_of_the_paper_gives_the_same_in_float64():
    ours = MinGru(D=12).double()
    x, state = torch.randn(2, 70, 12, dtype=torch.float64), ours.init_state(2)
    _, state = ours.extend(torch.randn_like(x), state)
    candidate, gate = ours.input(x).chunk(2, -1)
    positive = torch.where(candidate >= 0, candidate + 0.5, candidate.sigmoid())
    expected = log_space((-gate).sigmoid(), gate.sigmoid() * positive, state.h_BN)
    assert relative_error(ours.extend(x, state)[0], expected) < 1e-12


@pytest.mark.parametrize("C", [2, 7, 64, 512])
def test_the_chunk_changes_nothing(C):
    small, large = MinGru(D=12, C=16).double(), MinGru(D=12, C=C).double()
    large.load_state_dict(small.state_dict())
    x = torch.randn(2, 100, 12, dtype=torch.float64)
    assert relative_error(large(x), small(x)) < 1e-13


def test_thousands_of_tokens_in_float32_as_in_float64():
    layer, T = MinGru(D=16), 2000
    x = 3 * torch.randn(1, T, 16)
    exact = MinGru(D=16).double()
    exact.load_state_dict(layer.state_dict())
    with torch.no_grad():
        assert relative_error(layer(x).double(), exact.reference(x.double())) < 2e-6 * math.sqrt(T / 64) / 5


def test_gates_that_are_shut_or_open_leave_finite_gradients():
    layer = MinGru(D=8)
    x = (1e4 * torch.randn(1, 40, 8)).requires_grad_()
    layer(x).sum().backward()
    assert x.grad.isfinite().all()
    assert layer.input.weight.grad.isfinite().all()
