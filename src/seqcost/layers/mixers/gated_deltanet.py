"""Gated DeltaNet. Definition, cost and source: `seqcost.formulas.mixers.gated_deltanet`."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.formulas.mixers import gated_deltanet
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.parts.delta import Delta


class GatedDeltaNet(Delta):
    """See `seqcost.formulas.mixers.gated_deltanet`.

    Drawn as Mamba-2 draws its decay: exp(r) uniform in [1, 16], softplus(b_a) log-uniform in [0.001, 0.1].
    """

    Config = gated_deltanet.GatedDeltaNet

    def __init__(self, config: gated_deltanet.GatedDeltaNet | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.decay = nn.Linear(m.D, m.H)
        self.rate = nn.Parameter(torch.empty(m.H).uniform_(1, 16).log())
        self.gate = nn.Linear(m.D, m.H * m.V, bias=False)
        with torch.no_grad():
            steps_H = torch.empty(m.H).uniform_(math.log(0.001), math.log(0.1)).exp()
            self.decay.bias.copy_(steps_H + (-torch.expm1(-steps_H)).log())

    def log_decay(self, x_BTD: Tensor) -> Tensor:
        # Softplus sees rows of tokens, so that its gradient comes contiguous: compiled, it is mistaken for that anyway.
        rows_RH = at_least_float32(self.decay(x_BTD)).flatten(0, 1)
        return -at_least_float32(self.rate).exp() * F.softplus(rows_RH).view(*x_BTD.shape[:2], self.config.H)

    def gated(self, x_BTD: Tensor, y_BTE: Tensor) -> Tensor:
        return y_BTE * F.silu(self.gate(x_BTD))
