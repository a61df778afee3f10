"""Gated linear attention. Letters: see formulas. Definition, cost and source: `seqcost.formulas.mixers.gla`."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.formulas.mixers import gla
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.core.state import State, start_state
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.gated_linear_attention import (
    gated_linear_attention,
    gated_linear_attention_step,
)
from seqcost.layers.ops.row_norms import rms_norm


@dataclasses.dataclass(frozen=True)
class Memory(State):
    """S [B,H,K,V], float32 at least."""

    S_BHKV: Tensor


class Gla(CausalLayer):
    """See `seqcost.formulas.mixers.gla`."""

    Config = gla.Gla

    def __init__(self, config: gla.Gla | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.query = nn.Linear(m.D, m.H * m.K, bias=False)
        self.key = nn.Linear(m.D, m.H * m.K, bias=False)
        self.value = nn.Linear(m.D, m.H * m.V, bias=False)
        self.decay_down = nn.Linear(m.D, m.R, bias=False)
        self.decay_up = nn.Linear(m.R, m.H * m.K)
        self.gate = nn.Linear(m.D, m.H * m.V, bias=False)
        self.gain = nn.Parameter(torch.ones(m.V))
        self.output = nn.Linear(m.H * m.V, m.D, bias=False)

    def init_state(self, batch: int) -> Memory:
        m = self.config
        return Memory(start_state(batch, m.H, m.K, m.V, like=self.query.weight))

    def extend(self, x_BTD: Tensor, state: Memory) -> tuple[Tensor, Memory]:
        m = self.config
        check_features(self, x_BTD)
        q, k, v, log_decay = self._heads(x_BTD)
        y, S = gated_linear_attention(q, k, v, state.S_BHKV, C=m.C, gate=log_decay, J=m.J)
        return self._gated(y, x_BTD), Memory(S)

    def step(self, x_BD: Tensor, state: Memory) -> tuple[Tensor, Memory]:
        q, k, v, log_decay = self._heads(x_BD)
        y, S = gated_linear_attention_step(q, k, v, state.S_BHKV, log_decay)
        return self._gated(y, x_BD), Memory(S)

    def _heads(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Queries over √K, keys, values and the logarithm of the gates, of [B,T,D] or [B,D] by heads."""
        m = self.config
        q = self.query(x).unflatten(-1, (m.H, m.K)) * m.K**-0.5
        k, v = self.key(x).unflatten(-1, (m.H, m.K)), self.value(x).unflatten(-1, (m.H, m.V))
        log_decay = F.logsigmoid(at_least_float32(self.decay_up(self.decay_down(x)))) / m.tau
        return q, k, v, log_decay.unflatten(-1, (m.H, m.K))

    def _gated(self, y: Tensor, x: Tensor) -> Tensor:
        """Each head normalised, then gated and projected, in the dtype of the input x."""
        y = rms_norm(y, self.config.epsilon).to(x.dtype) * self.gain
        return self.output(y.flatten(-2) * F.silu(self.gate(x)))

    def reference(self, x_BTD: Tensor) -> Tensor:
        """Token by token: each key feature of the memory fades at its rate, k vᵀ is added, q reads."""
        q, k, v, log_decay = (at_least_float32(a) for a in self._heads(x_BTD))
        rows, S = [], torch.zeros_like(self.init_state(x_BTD.shape[0]).S_BHKV)
        for t in range(x_BTD.shape[1]):
            S = log_decay[:, t].exp()[..., None] * S + torch.einsum("bhk,bhv->bhkv", k[:, t], v[:, t])
            rows.append(torch.einsum("bhkv,bhk->bhv", S, q[:, t]))
        return self._gated(torch.stack(rows, dim=1), x_BTD)
