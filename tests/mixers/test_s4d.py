"""S4D: the continuous system held between samples, the kernel term by term, its count, and long texts."""

import math

import pytest
import small
import torch
from oracles import relative_error

from seqcost.algebra import Kind, symbols
from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.mixers.s4d import S4d as Formula
from seqcost.layers import S4d

VARIANTS = (
    small.Variant("s4d-layer", "s4d-layer", small.scanned(N=(2, 4, 8)), {"C": 4}),
    small.Variant("s4d", "s4d", small.scanned(**small.SCANNED_MODEL, N=(4, 8)), {"C": 4}),
)

D, N, T, B = symbols("DNTB").values()


def layer_of(dtype=torch.float64, seed=0, **sizes):
    torch.manual_seed(seed)
    layer = S4d(**sizes)
    with torch.no_grad():
        for weight in layer.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return layer.to(dtype)


def held(layer, x_BTD):
    """x' = A x + u, the input constant over each step: the exponential of [[A, 1], [0, 0]] Δ, channel by channel."""
    M = layer.config.N // 2
    A_DM = torch.complex(-layer.log_decay.exp(), layer.frequency)
    C_DM = torch.view_as_complex(layer.read)
    rows = []
    for d, step in enumerate(layer.log_step.exp()):
        system = torch.zeros(M + 1, M + 1, dtype=A_DM.dtype)
        system[:M, :M], system[:M, M] = torch.diag(A_DM[d]), 1.0
        flow = torch.linalg.matrix_exp(system * step)
        state, outputs = torch.zeros(x_BTD.shape[0], M, dtype=A_DM.dtype), []
        for x_B in x_BTD[..., d].unbind(1):
            state = state @ flow[:M, :M].T + x_B[:, None] * flow[:M, M]
            outputs.append(2 * (state * C_DM[d]).sum(-1).real)
        rows.append(torch.stack(outputs, 1))
    y = torch.nn.functional.gelu(torch.stack(rows, -1) + layer.skip * x_BTD)
    return torch.nn.functional.glu(layer.output(y), dim=-1)


def whole_kernel(layer, T):
    """K_l = 2 Re Σ C (e^{ΔA} − 1)/A e^{ΔA l}, every power by itself."""
    A_DM = torch.complex(-layer.log_decay.double().exp(), layer.frequency.double())
    dA_DM = layer.log_step.double().exp()[:, None] * A_DM
    C_DM = torch.view_as_complex(layer.read.double()) * (dA_DM.exp() - 1) / A_DM
    return 2 * torch.einsum("dm,dml->dl", C_DM, (dA_DM[..., None] * torch.arange(T)).exp()).real


def test_parameters():
    # C, A and Δ, the skip, and the product of the gated unit.
    assert Formula(D=D, N=N).params().total().expand() == 2 * D**2 + 2 * D * N + 4 * D
    assert Formula(D=256).params().total() == sum(p.numel() for p in S4d(D=256).parameters())


@pytest.mark.parametrize("T", [1, 2, 19, 32])
def test_is_the_continuous_system_held_between_samples(T):
    layer = layer_of(D=3, N=8, C=4)
    x = torch.randn(2, T, 3, dtype=torch.float64)
    results = []
    for run in (held, lambda layer, x: layer(x)):
        y = run(layer, x)
        loss = (y * torch.arange(y.numel()).view_as(y).cos()).sum()
        results.append((y, *torch.autograd.grad(loss, tuple(layer.parameters()))))
    for ours, theirs in zip(results[1], results[0], strict=True):
        assert relative_error(ours, theirs) < 1e-11


def test_an_impulse_gives_the_kernel():
    layer = layer_of(D=4, N=16, C=8)
    with torch.no_grad():
        x = torch.zeros(1, 50, 4, dtype=torch.float64)
        x[:, 0] = 1.0
        kernel_DT = whole_kernel(layer, 50)
        y = torch.nn.functional.gelu(kernel_DT.T + layer.skip * x[0])
        assert relative_error(layer(x)[0], torch.nn.functional.glu(layer.output(y), dim=-1)) < 1e-12


def test_starts_as_s4d_lin():
    layer = S4d(D=5, N=8)
    assert torch.allclose(layer.log_decay.exp(), torch.tensor(0.5))
    assert torch.equal(layer.frequency[2], math.pi * torch.arange(4))
    assert layer.log_step.exp().min() >= 1e-3
    assert layer.log_step.exp().max() <= 1e-1


@pytest.mark.parametrize("C", [1, 3, 64])
def test_the_chunk_changes_nothing(C):
    small, large = layer_of(D=4, N=8, C=16), layer_of(D=4, N=8, C=C)
    x = torch.randn(2, 50, 4, dtype=torch.float64)
    (_, state), (_, other) = (layer.extend(x[:, :20], layer.init_state(2)) for layer in (small, large))
    assert relative_error(large(x), small(x)) < 1e-13
    assert relative_error(other.s_BDN, state.s_BDN) < 1e-13
    assert relative_error(large.extend(x[:, 20:], other)[0], small.extend(x[:, 20:], state)[0]) < 1e-13


def test_thousands_of_tokens_in_float32_as_in_float64():
    # Powers come from exponents, not from products of products: the whole sequence is closer than the recurrence.
    layer, T = layer_of(torch.float32, D=8, N=32), 2000
    exact = layer_of(D=8, N=32)
    exact.load_state_dict(layer.state_dict())
    x = torch.randn(1, T, 8)
    tolerance = 2e-6 * math.sqrt(T / 64)
    with torch.no_grad():
        truth = exact(x.double())
        assert relative_error(layer(x).double(), truth) < tolerance / 5
        assert relative_error(layer.reference(x).double(), truth) < tolerance


def test_a_short_step_loses_no_digits():
    # e^{ΔA} − 1 is 5e-4 where Δ = 1e-3: taken as a difference it would be right to 1e-4 only.
    layer = S4d(D=4, N=8)
    with torch.no_grad():
        layer.log_step.fill_(math.log(1e-3))
        gain_DM = torch.complex(*layer._system().gain_DM)
        A_DM = torch.complex(-layer.log_decay.double().exp(), layer.frequency.double())
        growth_DM = (layer.log_step.double().exp()[:, None] * A_DM).expm1()
        assert relative_error(gain_DM, 2 * torch.view_as_complex(layer.read).to(A_DM) * growth_DM / A_DM) < 1e-6


def test_the_kernel_of_t_tokens_takes_few_powers():
    lines = {line.name: line.amount for line in Formula(D=8, N=16, C=32).flops(Workload(T=1024)).only(Kind.POINTWISE)}
    assert lines["starts_size"] + lines["tokens_size"] == 8 * 8 * (1024 // 32 + 32)  # and not 8 · 8 · 1024


def test_three_transforms_and_the_output_lead():
    # Quick count: 2.5·n·log₂ n a real transform of n = 2T; of input and result B·D each, of the kernel D.
    lines = {line.name: line.amount for line in Formula(D=8, N=16).flops(Workload(B=3, T=1024)).only(Kind.CONTRACTION)}
    one = 5 * 2048 * 11 // 2
    assert lines["input_transform"] == lines["convolved"] == 3 * 8 * one
    assert lines["kernel_transform"] == 8 * one
    assert lines["output"] == 4 * 3 * 1024 * 8**2
    assert lines["kernel"] == 2 * 8 * 1024 * 16


def test_a_step_is_constant_and_the_state_holds_n_numbers_a_channel():
    layer = Formula(D=D, N=N)
    assert layer.step_flops(Workload(T=T)).leading("T", Kind.CONTRACTION) == 4 * D**2
    assert layer.state_bytes(Workload(B=B, T=T)).total() == 4 * B * D * N


def test_an_odd_number_of_states_is_refused():
    with pytest.raises(BadSize, match="two parts of a complex number: 7 does not divide by 2"):
        S4d(D=4, N=7)
