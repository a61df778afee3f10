"""Real-gated linear recurrent unit. Letters: see formulas."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.formulas.mixers import rg_lru
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.scan import linear_scan, wide_start
from seqcost.layers.parts.recurrence import Hidden

_POWER = 8.0  # c of the paper


class RgLru(CausalLayer):
    """See `seqcost.formulas.mixers.rg_lru`. The state h [B,D] is float32 at least."""

    Config = rg_lru.RgLru

    def __init__(self, config: rg_lru.RgLru | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        D = self.config.D
        self.gates = nn.Linear(D, 2 * D)
        # a = exp(−8·softplus(Λ)) between 0.9 and 0.999 at a full gate, as in the paper's section 2.4.
        self.decay = nn.Parameter((-torch.empty(D).uniform_(0.9, 0.999).log() / _POWER).expm1().log())

    def init_state(self, batch: int) -> Hidden:
        return Hidden(wide_start(0.0, batch, self.config.D, like=self.decay))

    def extend(self, x_BTD: Tensor, state: Hidden) -> tuple[Tensor, Hidden]:
        check_features(self, x_BTD)
        h_BTD, last_BD = linear_scan(*self._recurrence(x_BTD), state.h_BN, self.config.C)
        return h_BTD.to(x_BTD.dtype), Hidden(last_BD)

    def step(self, x_BD: Tensor, state: Hidden) -> tuple[Tensor, Hidden]:
        a_BD, b_BD = self._recurrence(x_BD)
        h_BD = torch.addcmul(b_BD, a_BD, state.h_BN)
        return h_BD.to(x_BD.dtype), Hidden(h_BD)

    def _recurrence(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r, i = at_least_float32(self.gates(x)).chunk(2, dim=-1)
        log_a = r.sigmoid() * (F.softplus(at_least_float32(self.decay)) * -_POWER)
        # The least number instead of 0: where a gate is shut the root's slope, times the gate's slope of 0, is then 0.
        share = (torch.finfo(log_a.dtype).tiny - torch.expm1(log_a * 2)).sqrt()
        return log_a.exp(), share * (i.sigmoid() * at_least_float32(x))

    def reference(self, x_BTD: Tensor) -> Tensor:
        """The equations, a token at a time."""
        D = self.config.D
        (W_a, W_x), (b_a, b_x) = self.gates.weight.split(D), self.gates.bias.split(D)
        a_full = torch.exp(-F.softplus(at_least_float32(self.decay)))
        h_BD, outputs = self.init_state(x_BTD.shape[0]).h_BN, []
        for x_BD in x_BTD.unbind(1):
            r = torch.sigmoid(at_least_float32(x_BD @ W_a.T + b_a))
            i = torch.sigmoid(at_least_float32(x_BD @ W_x.T + b_x))
            a = a_full ** (_POWER * r)
            h_BD = a * h_BD + torch.sqrt(1 - a**2) * (i * x_BD)
            outputs.append(h_BD.to(x_BTD.dtype))
        return torch.stack(outputs, dim=1)
