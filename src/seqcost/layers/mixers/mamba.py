"""Mamba's layer over the selective scan. Letters: see formulas; E inner width, R rank of the step size, k taps."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.formulas.mixers import mamba
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.core.state import State, empty, start_state
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.selective_scan import chunked_scan, scan_step, sequential_scan
from seqcost.layers.ops.short_conv import conv_bias, conv_weight, short_conv
from seqcost.layers.parts.step_size import step_size_bias

Signals = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # v, δ, A, B, C


@dataclasses.dataclass(frozen=True)
class MambaState(State):
    """The inputs of the convolution [B,k−1,E] and the recurrence's state [B,N,E], the latter in float32 at least."""

    conv_BkE: Tensor
    scan_BNE: Tensor


class Mamba(CausalLayer):
    """See `seqcost.formulas.mixers.mamba`."""

    Config = mamba.Mamba

    def __init__(self, config: mamba.Mamba | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.input = nn.Linear(m.D, 2 * m.E, bias=False)
        self.conv, self.conv_bias = conv_weight(m.E, m.k), conv_bias(m.E, m.k)
        self.select = nn.Linear(m.E, m.R + 2 * m.N, bias=False)
        self.delta = nn.Linear(m.R, m.E)
        nn.init.uniform_(self.delta.weight, -(m.R**-0.5), m.R**-0.5)
        with torch.no_grad():
            self.delta.bias.copy_(step_size_bias(m.E))
        self.log_rate = nn.Parameter(torch.arange(1.0, m.N + 1).log().unsqueeze(1).repeat(1, m.E))
        self.skip = nn.Parameter(torch.ones(m.E))
        self.output = nn.Linear(m.E, m.D, bias=False)

    def init_state(self, batch: int) -> MambaState:
        m = self.config
        return MambaState(empty(batch, m.k - 1, m.E, like=self.skip), start_state(batch, m.N, m.E, like=self.skip))

    def extend(self, x_BTD: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        check_features(self, x_BTD)
        m = self.config
        signals, z_BTE, conv_BkE = self._signals(x_BTD, state.conv_BkE)
        if m.form == "sequential":
            y_BTE, scan_BNE = sequential_scan(*signals, state.scan_BNE)
        else:
            y_BTE, scan_BNE = chunked_scan(*signals, state.scan_BNE, C=m.C, J=m.J)
        return self._gated(y_BTE, signals[0], z_BTE), MambaState(conv_BkE, scan_BNE)

    def step(self, x_BD: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        x_B1D = x_BD.unsqueeze(1)
        check_features(self, x_B1D)
        (v, delta, rate_NE, write, read), z_B1E, conv_BkE = self._signals(x_B1D, state.conv_BkE)
        v_BE, delta_BE, write_BN, read_BN = (signal.squeeze(1) for signal in (v, delta, write, read))
        y_BE, scan_BNE = scan_step(v_BE, delta_BE, rate_NE, write_BN, read_BN, state.scan_BNE)
        return self._gated(y_BE.unsqueeze(1), v, z_B1E).squeeze(1), MambaState(conv_BkE, scan_BNE)

    def _signals(self, x_BTD: Tensor, conv_BkE: Tensor) -> tuple[Signals, Tensor, Tensor]:
        """What the recurrence reads, in float32 at least; the gate z; what the convolution carries."""
        m = self.config
        u_BTE, z_BTE = self.input(x_BTD).chunk(2, dim=-1)
        u_BTE, conv_BkE = short_conv(u_BTE, self.conv, self.conv_bias, conv_BkE)
        v_BTE = F.silu(u_BTE)
        r_BTR, write_BTN, read_BTN = self.select(v_BTE).split([m.R, m.N, m.N], dim=-1)
        # Rows of two axes: on three that are no contiguous memory PyTorch adds the bias in an operator of its own.
        raw_BTE = self.delta(r_BTR.flatten(0, 1)).view(v_BTE.shape)
        delta_BTE = F.softplus(at_least_float32(raw_BTE))
        rate_NE = -at_least_float32(self.log_rate).exp()
        v_BTE, write_BTN, read_BTN = (at_least_float32(signal) for signal in (v_BTE, write_BTN, read_BTN))
        return (v_BTE, delta_BTE, rate_NE, write_BTN, read_BTN), z_BTE, conv_BkE

    def _gated(self, y_BTE: Tensor, v_BTE: Tensor, z_BTE: Tensor) -> Tensor:
        s_BTE = (y_BTE + v_BTE * self.skip).to(z_BTE.dtype)
        return self.output(s_BTE * F.silu(z_BTE))

    def reference(self, x_BTD: Tensor) -> Tensor:
        """One token at a time, as the paper's algorithm 2 reads: every feature has N numbers of state."""
        m = self.config
        A_NE = -self.log_rate.exp()
        h_BNE = empty(x_BTD.shape[0], m.N, m.E, like=self.skip)
        seen = [empty(x_BTD.shape[0], m.E, like=self.skip)] * (m.k - 1)
        rows = []
        for x_BD in x_BTD.unbind(1):
            u_BE, z_BE = self.input(x_BD).chunk(2, dim=-1)
            seen = [*seen, u_BE][-m.k :]
            v_BE = F.silu(sum((w_E * u for w_E, u in zip(self.conv.unbind(1), seen, strict=True)), self.conv_bias))
            r_BR, B_BN, C_BN = self.select(v_BE).split([m.R, m.N, m.N], dim=-1)
            delta_BE = F.softplus(self.delta(r_BR))
            decay_BNE = torch.exp(torch.einsum("be,ne->bne", delta_BE, A_NE))
            h_BNE = decay_BNE * h_BNE + torch.einsum("bn,be->bne", B_BN, delta_BE * v_BE)
            s_BE = torch.einsum("bn,bne->be", C_BN, h_BNE) + self.skip * v_BE
            rows.append(self.output(s_BE * F.silu(z_BE)))
        return torch.stack(rows, dim=1)
