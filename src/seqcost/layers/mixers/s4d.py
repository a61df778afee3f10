"""Diagonal state space model: a long convolution, or a recurrence of complex numbers. Letters: see formulas.

Complex parameters are pairs of real ones: M = N/2 of them stand for N real states a channel.
"""

import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.formulas.mixers import s4d
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.core.state import State
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.diagonal_ssm import Diagonal, product, ssm_convolution, ssm_extend, ssm_step
from seqcost.layers.ops.scan import wide_start


@dataclasses.dataclass(frozen=True)
class Modes(State):
    """The states of all channels [B,D,N]: M real parts, then M imaginary ones; float32 at least."""

    s_BDN: Tensor


class S4d(CausalLayer):
    """See `seqcost.formulas.mixers.s4d`."""

    Config = s4d.S4d

    def __init__(self, config: s4d.S4d | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        D, M = self.config.D, self.config.N // 2
        low, high = (math.log(step) for step in s4d.STEPS)
        self.log_step = nn.Parameter(low + (high - low) * torch.rand(D))
        self.log_decay = nn.Parameter(torch.full((D, M), math.log(0.5)))
        self.frequency = nn.Parameter((math.pi * torch.arange(M)).repeat(D, 1))
        self.read = nn.Parameter(math.sqrt(0.5) * torch.randn(D, M, 2))
        self.skip = nn.Parameter(torch.randn(D))
        self.output = nn.Linear(D, 2 * D)

    def whole(self, x_BTD: Tensor) -> Tensor:
        if x_BTD.shape[1] == 0:
            return x_BTD
        return self._out(_tokens_first(ssm_convolution(x_BTD, self._system(), self.config.C)), x_BTD)

    def init_state(self, batch: int) -> Modes:
        return Modes(wide_start(0.0, batch, self.config.D, self.config.N, like=self.skip))

    def extend(self, x_BTD: Tensor, state: Modes) -> tuple[Tensor, Modes]:
        check_features(self, x_BTD)
        if x_BTD.shape[1] == 0:
            return x_BTD, state
        y_DBT, s_BDN = ssm_extend(x_BTD, self._system(), state.s_BDN, self.config.C)
        return self._out(_tokens_first(y_DBT), x_BTD), Modes(s_BDN)

    def step(self, x_BD: Tensor, state: Modes) -> tuple[Tensor, Modes]:
        y_BD, s_BDN = ssm_step(x_BD, self._system(), state.s_BDN)
        return self._out(y_BD, x_BD), Modes(s_BDN)

    def reference(self, x_BTD: Tensor) -> Tensor:
        """s_t = e^{ΔA} s_{t−1} + u_t and y_t = 2 Re C (e^{ΔA} − 1)/A s_t + skip u_t, in complex numbers."""
        wide = (at_least_float32(weight) for weight in (self.log_step, self.log_decay, self.frequency, self.read))
        log_step_D, log_decay_DM, frequency_DM, read_DM2 = wide
        A_DM = torch.complex(-log_decay_DM.exp(), frequency_DM)
        dA_DM = log_step_D.exp().unsqueeze(-1) * A_DM
        C_DM = torch.view_as_complex(read_DM2) * dA_DM.expm1() / A_DM
        s_BDM, outputs = torch.zeros_like(A_DM), []
        for x_BD in x_BTD.unbind(1):
            s_BDM = dA_DM.exp() * s_BDM + at_least_float32(x_BD).unsqueeze(-1)
            outputs.append(self._out(2 * (C_DM * s_BDM).sum(-1).real, x_BD))
        return torch.stack(outputs, dim=1)

    def _system(self) -> Diagonal:
        """λ = ΔA, and the gain 2 C (e^{ΔA} − 1)/A: a zero-order hold of the input."""
        step_D = at_least_float32(self.log_step).exp()
        real_DM, imaginary_DM = at_least_float32(self.log_decay).exp(), at_least_float32(self.frequency)
        rate_DM, angle_DM = -(real_DM.t() * step_D).t(), (imaginary_DM.t() * step_D).t()
        # e^{ΔA} − 1 without the difference of two numbers near 1: cos φ − 1 = −2 sin²(φ/2).
        half_DM = (0.5 * angle_DM).sin()
        grown_re = rate_DM.expm1() * angle_DM.cos() - 2 * half_DM.square()
        grown_DM = grown_re, rate_DM.exp() * angle_DM.sin()
        above_DM = product(grown_DM, (-real_DM, -imaginary_DM))  # 1/A is the conjugate of A over |A|²
        norm_DM = real_DM.square() + imaginary_DM.square()
        read_re, read_im = (2 * at_least_float32(self.read)).unbind(-1)
        gain_DM = product((above_DM[0] / norm_DM, above_DM[1] / norm_DM), (read_re, read_im))
        return Diagonal(rate_DM, angle_DM, gain_DM)

    def _out(self, y: Tensor, x: Tensor) -> Tensor:
        y = F.gelu(y + at_least_float32(x * self.skip)).to(self.skip.dtype)
        value, gate = self.output(y).chunk(2, dim=-1)
        return value * gate.sigmoid()


def _tokens_first(y_DBT: Tensor) -> Tensor:
    return y_DBT.permute(1, 2, 0).clone(memory_format=torch.contiguous_format)
