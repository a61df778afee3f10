"""Retention. Letters: see formulas. Definition, cost and source: `seqcost.formulas.mixers.retnet`."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.formulas.mixers import retnet
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.core.state import State, start_state
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.decays import retnet_log_decay
from seqcost.layers.ops.gated_linear_attention import (
    gated_linear_attention,
    gated_linear_attention_step,
)
from seqcost.layers.ops.row_norms import group_norm
from seqcost.layers.parts.rope import rope_frequency, rope_tables, rope_turn


@dataclasses.dataclass(frozen=True)
class Retained(State):
    """Σ γ^(t−s) k vᵀ [B,H,K,V], float32 at least, and how many tokens have passed."""

    S_BHKV: Tensor
    tokens: int


class RetNet(CausalLayer):
    """See `seqcost.formulas.mixers.retnet`."""

    Config = retnet.RetNet
    frequency: Tensor
    log_decay: Tensor

    def __init__(self, config: retnet.RetNet | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.query = nn.Linear(m.D, m.H * m.K, bias=False)
        self.key = nn.Linear(m.D, m.H * m.K, bias=False)
        self.value = nn.Linear(m.D, m.H * m.V, bias=False)
        self.gate = nn.Linear(m.D, m.H * m.V, bias=False)
        self.output = nn.Linear(m.H * m.V, m.D, bias=False)
        self.make_constants()

    def constants(self) -> dict[str, Tensor | None]:
        m, weight = self.config, self.query.weight
        return {
            "frequency": rope_frequency(m.K, m.rope_base, weight.device),
            "log_decay": retnet_log_decay(m.H, weight),
        }

    def init_state(self, batch: int) -> Retained:
        m = self.config
        return Retained(start_state(batch, m.H, m.K, m.V, like=self.query.weight), 0)

    def extend(self, x_BTD: Tensor, state: Retained) -> tuple[Tensor, Retained]:
        check_features(self, x_BTD)
        q, k, v = self._heads(x_BTD, state.tokens)
        y, S = gated_linear_attention(q, k, v, state.S_BHKV, C=self.config.C, gate=self.log_decay)
        return self._gated(y, x_BTD), Retained(S, state.tokens + x_BTD.shape[1])

    def step(self, x_BD: Tensor, state: Retained) -> tuple[Tensor, Retained]:
        x_B1D = x_BD.unsqueeze(1)
        q, k, v = (a.squeeze(1) for a in self._heads(x_B1D, state.tokens))
        y, S = gated_linear_attention_step(q, k, v, state.S_BHKV, self.log_decay)
        return self._gated(y, x_BD), Retained(S, state.tokens + 1)

    def _heads(self, x_BTD: Tensor, past: int) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys turned to their positions, and values."""
        m = self.config
        cos, sin = rope_tables(past, x_BTD.shape[1], self.frequency, x_BTD)
        q_BTHK = rope_turn(self.query(x_BTD).unflatten(-1, (m.H, m.K)), cos, sin)
        k_BTHK = rope_turn(self.key(x_BTD).unflatten(-1, (m.H, m.K)) * m.K**-0.5, cos, sin)
        return q_BTHK, k_BTHK, self.value(x_BTD).unflatten(-1, (m.H, m.V))

    def _gated(self, y: Tensor, x: Tensor) -> Tensor:
        """Each head normalised, then gated and projected, in the dtype of the input x."""
        y = group_norm(y, self.config.epsilon).to(x.dtype).flatten(-2)
        return self.output(y * F.silu(self.gate(x)))

    def reference(self, x_BTD: Tensor) -> Tensor:
        """Token by token: the memory fades, takes in k vᵀ and is read by q."""
        q, k, v = (at_least_float32(a) for a in self._heads(x_BTD, 0))
        decay = self.log_decay.exp()[:, None, None]
        rows, S = [], torch.zeros_like(self.init_state(x_BTD.shape[0]).S_BHKV)
        for t in range(x_BTD.shape[1]):
            S = decay * S + torch.einsum("bhk,bhv->bhkv", k[:, t], v[:, t])
            rows.append(torch.einsum("bhkv,bhk->bhv", S, q[:, t]))
        return self._gated(torch.stack(rows, dim=1), x_BTD)
