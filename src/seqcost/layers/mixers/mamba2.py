"""Mamba-2's layer over state-space duality. Letters: see formulas; E inner width, k taps, X features, B and C of it."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.formulas.mixers import mamba2
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.core.state import State, empty, start_state
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.row_norms import rms_norm
from seqcost.layers.ops.short_conv import conv_bias, conv_weight, short_conv
from seqcost.layers.ops.ssd import chunked_ssd, sequential_ssd, ssd_step
from seqcost.layers.parts.step_size import step_size_bias

RATES = (1.0, 16.0)  # of −A at the start, as in mamba_ssm

Signals = tuple[Tensor, Tensor, Tensor, Tensor]  # δ v, g, B, C


@dataclasses.dataclass(frozen=True)
class Mamba2State(State):
    """The inputs of the convolution [B,k−1,X] and the recurrence's state [B,H,V,N], the latter in float32 at least."""

    conv_BkX: Tensor
    ssd_BHVN: Tensor


class Mamba2(CausalLayer):
    """See `seqcost.formulas.mixers.mamba2`."""

    Config = mamba2.Mamba2

    def __init__(self, config: mamba2.Mamba2 | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.input = nn.Linear(m.D, m.E + m.channels + m.H, bias=False)
        self.conv, self.conv_bias = conv_weight(m.channels, m.k), conv_bias(m.channels, m.k)
        self.delta_bias = nn.Parameter(step_size_bias(m.H))
        self.log_rate = nn.Parameter(torch.empty(m.H).uniform_(*RATES).log())
        self.skip = nn.Parameter(torch.ones(m.H))
        self.gain = nn.Parameter(torch.ones(m.E))
        self.output = nn.Linear(m.E, m.D, bias=False)

    def init_state(self, batch: int) -> Mamba2State:
        m = self.config
        conv_BkX = empty(batch, m.k - 1, m.channels, like=self.skip)
        return Mamba2State(conv_BkX, start_state(batch, m.H, m.V, m.N, like=self.skip))

    def extend(self, x_BTD: Tensor, state: Mamba2State) -> tuple[Tensor, Mamba2State]:
        check_features(self, x_BTD)
        signals, z_BTE, v_BTHV, conv_BkX = self._signals(x_BTD, state.conv_BkX)
        if self.config.form == "sequential":
            y_BTHV, ssd_BHVN = sequential_ssd(*signals, state.ssd_BHVN)
        else:
            y_BTHV, ssd_BHVN = chunked_ssd(*signals, state.ssd_BHVN, C=self.config.C)
        return self._out(y_BTHV, v_BTHV, z_BTE), Mamba2State(conv_BkX, ssd_BHVN)

    def step(self, x_BD: Tensor, state: Mamba2State) -> tuple[Tensor, Mamba2State]:
        x_B1D = x_BD.unsqueeze(1)
        check_features(self, x_B1D)
        signals, z_B1E, v_B1HV, conv_BkX = self._signals(x_B1D, state.conv_BkX)
        x_BHV, gate_BH, write_BGN, read_BGN = (signal.squeeze(1) for signal in signals)
        y_BHV, ssd_BHVN = ssd_step(x_BHV, gate_BH, write_BGN, read_BGN, state.ssd_BHVN)
        return self._out(y_BHV.unsqueeze(1), v_B1HV, z_B1E).squeeze(1), Mamba2State(conv_BkX, ssd_BHVN)

    def _signals(self, x_BTD: Tensor, conv_BkX: Tensor) -> tuple[Signals, Tensor, Tensor, Tensor]:
        """What the recurrence reads; the gate z; v alone; what the convolution carries."""
        m = self.config
        z_BTE, u_BTX, r_BTH = self.input(x_BTD).split([m.E, m.channels, m.H], dim=-1)
        u_BTX, conv_BkX = short_conv(u_BTX, self.conv, self.conv_bias, conv_BkX)
        v_BTE, write, read = at_least_float32(F.silu(u_BTX)).split([m.E, m.G * m.N, m.G * m.N], dim=-1)
        v_BTHV = v_BTE.unflatten(2, (m.H, m.V))
        write_BTGN, read_BTGN = (z.unflatten(2, (m.G, m.N)) for z in (write, read))
        delta_BTH = F.softplus(at_least_float32(r_BTH) + self.delta_bias)
        gate_BTH = delta_BTH * -at_least_float32(self.log_rate).exp()
        return (v_BTHV * delta_BTH.unsqueeze(3), gate_BTH, write_BTGN, read_BTGN), z_BTE, v_BTHV, conv_BkX

    def _out(self, y_BTHV: Tensor, v_BTHV: Tensor, z_BTE: Tensor) -> Tensor:
        m = self.config
        s_BTE = (y_BTHV + v_BTHV * self.skip.unsqueeze(1)).flatten(2) * F.silu(at_least_float32(z_BTE))
        normed_BTE = rms_norm(s_BTE.unflatten(2, (m.G, m.E // m.G)), m.epsilon).flatten(2)
        return self.output((normed_BTE * self.gain).to(z_BTE.dtype))

    def reference(self, x_BTD: Tensor) -> Tensor:
        """One token and one head at a time: S ← a S + δ v Bᵀ, s = S C + d v; then gate, norm, output."""
        m = self.config
        B = x_BTD.shape[0]
        S = [empty(B, m.V, m.N, like=self.skip)] * m.H
        seen = [empty(B, m.channels, like=self.skip)] * (m.k - 1)
        rows = []
        for x_BD in x_BTD.unbind(1):
            z_BE, u_BX, r_BH = self.input(x_BD).split([m.E, m.channels, m.H], dim=-1)
            seen = [*seen, u_BX][-m.k :]
            u_BX = F.silu(sum((w_X * u for w_X, u in zip(self.conv.unbind(1), seen, strict=True)), self.conv_bias))
            v_BHV = u_BX[:, : m.E].unflatten(1, (m.H, m.V))
            B_BGN, C_BGN = u_BX[:, m.E :].unflatten(1, (2, m.G, m.N)).unbind(1)
            s = []
            for h in range(m.H):
                g = h // m.heads
                delta_B = F.softplus(r_BH[:, h] + self.delta_bias[h])
                a_B = torch.exp(-self.log_rate[h].exp() * delta_B)
                written_BVN = torch.einsum("b,bv,bn->bvn", delta_B, v_BHV[:, h], B_BGN[:, g])
                S[h] = a_B[:, None, None] * S[h] + written_BVN
                s.append(torch.einsum("bvn,bn->bv", S[h], C_BGN[:, g]) + self.skip[h] * v_BHV[:, h])
            gated_BGX = (torch.cat(s, dim=1) * F.silu(z_BE)).unflatten(1, (m.G, m.E // m.G))
            scale_BG1 = (gated_BGX.square().mean(-1, keepdim=True) + m.epsilon).sqrt()
            rows.append(self.output((gated_BGX / scale_BG1).flatten(1) * self.gain))
        return torch.stack(rows, dim=1)
