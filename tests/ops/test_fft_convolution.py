"""The causal convolution by FFT against sums over the past, and its count."""

import pytest
import torch
from oracles import relative_error

from seqcost.formulas.ops.fft_convolution import transform_flops
from seqcost.layers.ops.fft_convolution import fft_convolution


def sums(u_DBT, kernel_DT):
    T = u_DBT.shape[-1]
    lags = torch.arange(T)[:, None] - torch.arange(T)
    toeplitz_DTT = kernel_DT[:, lags.clamp_min(0)] * (lags >= 0)
    return torch.einsum("dts,dbs->dbt", toeplitz_DTT, u_DBT)


def drawn(D, B, T, dtype=torch.float64):
    made = torch.Generator().manual_seed(T)
    return (torch.randn(*shape, generator=made, dtype=dtype).requires_grad_() for shape in ((D, B, T), (D, T)))


@pytest.mark.parametrize("T", [1, 2, 3, 8, 13])
def test_values_and_gradients_are_those_of_the_sums(T):
    given = tuple(drawn(3, 2, T))
    results = []
    for convolve in (sums, fft_convolution):
        y = convolve(*given)
        results.append((y, *torch.autograd.grad((y * torch.arange(y.numel()).view_as(y).cos()).sum(), given)))
    for ours, theirs in zip(results[1], results[0], strict=True):
        assert relative_error(ours, theirs) < 1e-13


def test_nothing_wraps_around_at_a_power_of_two():
    u, kernel = drawn(1, 1, 16)
    spike = torch.zeros_like(u)
    spike[..., -1] = 1.0
    assert fft_convolution(spike, kernel)[..., :-1].abs().max() < 1e-14
    assert u.shape == spike.shape


def test_gradients_of_gradients():
    given = tuple(drawn(2, 2, 5))
    assert torch.autograd.gradcheck(fft_convolution, given)
    assert torch.autograd.gradgradcheck(fft_convolution, given)


def test_a_bfloat16_input_is_kept_as_it_is():
    u, kernel = drawn(2, 1, 5, torch.float32)
    narrow = u.detach().bfloat16().requires_grad_()
    y = fft_convolution(narrow, kernel)
    assert y.dtype == torch.float32
    assert torch.autograd.grad(y.sum(), narrow)[0].dtype == torch.bfloat16
    assert relative_error(y, fft_convolution(narrow.float(), kernel)) == 0


def test_a_transform_counts_5_halves_n_log_n():
    # Half of Cooley and Tukey's 5·n·log₂ n: n = 2·2^9 = 1024.
    assert transform_flops(9, rows=3) == 3 * 5 * 1024 * 10 // 2
