"""The causal convolution of a whole sequence with a kernel as long as itself, by FFT.

The transforms have the length 2·2^⌈log₂ T⌉, of which at least T are zeros, so nothing wraps around; a power of two
costs the same whatever prime T is near to. Inputs are kept for backward, not their spectra, which are twice as large.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.layers.core.open_length import cut, is_open
from seqcost.layers.ops.chunks import at_least_float32


def fft_convolution(u_DBT: Tensor, kernel_DT: Tensor) -> Tensor:
    """y_t = Σ_{l≤t} kernel_l u_{t−l} for each of D channels: [D,B,T], T ≥ 1.

    The kernel is float32 or float64, and so is the result; u may be narrower and is kept as it is.
    """
    if u_DBT.shape[1] == 0:  # no kernel transforms an empty batch
        return at_least_float32(u_DBT) * kernel_DT.unsqueeze(1)
    convolved = _Convolution.forward if is_open(u_DBT.shape[2]) else _Convolution.apply
    y: Tensor = convolved(u_DBT, kernel_DT)
    return y


class _Convolution(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(u_DBT: Tensor, kernel_DT: Tensor) -> Tensor:
        return _cut(_spectrum(u_DBT) * _spectrum(kernel_DT).unsqueeze(1), u_DBT.shape[-1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor]:
        # Correlations: a product with the conjugate spectrum.
        u_DBT, kernel_DT = ctx.saved_tensors
        (g_DBT,) = gradients
        T = u_DBT.shape[-1]
        g = _spectrum(g_DBT)
        du_DBT = None
        if ctx.needs_input_grad[0]:
            du_DBT = _cut(g * _spectrum(kernel_DT).conj_physical().unsqueeze(1), T).to(u_DBT.dtype)
        return du_DBT, _cut((g * _spectrum(u_DBT).conj_physical()).sum(1), T)


def _length(T: int) -> int:
    return 2 * T if is_open(T) else 2 << (T - 1).bit_length()  # an exporter has no powers of an open length


def _spectrum(x: Tensor) -> Tensor:
    T = x.shape[-1]
    return torch.fft.rfft(F.pad(at_least_float32(x), (0, _length(T) - T)))


def _cut(spectrum: Tensor, T: int) -> Tensor:
    return cut(torch.fft.irfft(spectrum, n=_length(T)), T, dim=spectrum.dim() - 1)
