"""A diagonal linear state space model with constant coefficients: s_t = e^{λ} s_{t−1} + u_t, y_t = Re Σ gain s_t.

One input and M complex states a channel. A whole sequence is a convolution with the kernel K_l = Re Σ gain e^{λl}; the
state that is carried in adds Re Σ gain e^{λt} (e^{λ} s_0) to it. Powers come in two factors, e^{λ(kC + c)} = e^{λkC}
e^{λc} for token c of chunk k: T/C + C of them are computed for T tokens, and sums over them are matrix products.

Complex numbers are pairs of real tensors (real, imaginary), in float32 or float64; u may be narrower.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.layers.core.full_precision import full_precision
from seqcost.layers.core.open_length import cut, num_chunks
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.fft_convolution import fft_convolution

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Diagonal:
    """λ = rate + i angle and the gain of each state, [D,M]."""

    rate_DM: Tensor
    angle_DM: Tensor
    gain_DM: Pair

    @property
    def decay_DM(self) -> Pair:
        """e^λ."""
        return exponential(self.rate_DM, self.angle_DM)


@full_precision
def ssm_convolution(u_BTD: Tensor, system: Diagonal, C: int) -> Tensor:
    """Outputs y [D,B,T] of T ≥ 1 tokens from a state of 0."""
    _, left_DnN, right_DNC = _factors(system, num_chunks(u_BTD.shape[1], C), C)
    return _convolved(u_BTD, left_DnN, right_DNC)


@full_precision
def ssm_extend(u_BTD: Tensor, system: Diagonal, s_BDN: Tensor, C: int) -> tuple[Tensor, Tensor]:
    """Outputs y [D,B,T] of T ≥ 1 further tokens, and the state after them: N = 2·M real parts, then imaginary ones."""
    B, T, D = u_BTD.shape
    n = num_chunks(T, C)
    powers_DnM, left_DnN, right_DNC = _factors(system, n, C)
    s_DBM = _halves(s_BDN.transpose(0, 1))

    # What the state adds to each token: rows (Re, −Im) of gain e^{λ(kC + 1)} s_0, as `left` has them of the gain alone.
    gain_re, minus_gain_im = _halves(left_DnN)
    re, im = _beside(product(_beside(system.decay_DM), (gain_re, -minus_gain_im)))
    s_re, s_im = s_DBM[0].unsqueeze(2), s_DBM[1].unsqueeze(2)
    rows_DBnN = torch.cat([re * s_re - im * s_im, -im * s_re - re * s_im], dim=-1)
    added_DZC = torch.bmm(rows_DBnN.flatten(1, 2), right_DNC)
    y_DBT = _convolved(u_BTD, left_DnN, right_DNC) + cut(added_DZC.view(D, B, n * C), T, dim=2)

    # Each chunk's sum Σ e^{λ(C−1−c)} u_c, the last token at the end of the last chunk; then from all chunks to the end.
    u_DZC = F.pad(at_least_float32(u_BTD).permute(2, 0, 1), (n * C - T, 0)).reshape(D, B * n, C)
    sums_DZN = torch.bmm(u_DZC, right_DNC.flip(2).transpose(1, 2))
    to_end = _beside((powers_DnM[0].flip(1), powers_DnM[1].flip(1)))
    re, im = product(to_end, _halves(sums_DZN.view(D, B, n, s_BDN.shape[-1])))
    kept_re, kept_im = product(_beside(exponential(system.rate_DM * T, system.angle_DM * T)), s_DBM)
    after_DBN = torch.cat([re.sum(2) + kept_re, im.sum(2) + kept_im], dim=-1)
    return y_DBT, after_DBN.transpose(0, 1).clone(memory_format=torch.contiguous_format)


@full_precision
def ssm_step(u_BD: Tensor, system: Diagonal, s_BDN: Tensor) -> tuple[Tensor, Tensor]:
    """One token: y [B,D] and the state after it."""
    re, im = product(system.decay_DM, _halves(s_BDN))
    re = re + at_least_float32(u_BD).unsqueeze(-1)
    gain_re, gain_im = system.gain_DM
    return (gain_re * re - gain_im * im).sum(-1), torch.cat([re, im], dim=-1)


def product(a: Pair, b: Pair) -> Pair:
    """Of complex numbers."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def exponential(re: Tensor, im: Tensor) -> Pair:
    """e^(re + i im)."""
    size = re.exp()
    return size * im.cos(), size * im.sin()


def _factors(system: Diagonal, n: int, C: int) -> tuple[Pair, Tensor, Tensor]:
    """Powers at the first tokens of n chunks [D,n,M]; these times the gain [D,n,N]; powers inside a chunk [D,N,C].

    The last two are laid out so that their matrix product is a real part.
    """
    rate, angle = system.rate_DM, system.angle_DM
    starts_n11 = torch.arange(0, n * C, C, dtype=rate.dtype, device=rate.device).view(n, 1, 1)
    tokens_C = torch.arange(C, dtype=rate.dtype, device=rate.device)
    powers_nDM = exponential(rate * starts_n11, angle * starts_n11)
    re, im = product(powers_nDM, system.gain_DM)
    left_nDN = torch.cat([re, -im], dim=-1)
    right_DNC = torch.cat(exponential(rate.unsqueeze(-1) * tokens_C, angle.unsqueeze(-1) * tokens_C), dim=1)
    return (powers_nDM[0].transpose(0, 1), powers_nDM[1].transpose(0, 1)), left_nDN.transpose(0, 1), right_DNC


def _convolved(u_BTD: Tensor, left_DnN: Tensor, right_DNC: Tensor) -> Tensor:
    kernel_DL = torch.bmm(left_DnN, right_DNC).flatten(1)
    return fft_convolution(u_BTD.permute(2, 0, 1), cut(kernel_DL, u_BTD.shape[1]))


def _halves(x_N: Tensor) -> Pair:
    re, im = x_N.chunk(2, dim=-1)
    return re, im


def _beside(x_D: Pair) -> Pair:
    """An axis for the batch behind the channels."""
    return x_D[0].unsqueeze(1), x_D[1].unsqueeze(1)
