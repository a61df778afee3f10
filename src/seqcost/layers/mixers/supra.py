"""SUPRA's linear attention. Letters: see formulas. Definition, cost and source: `seqcost.formulas.mixers.supra`."""

import dataclasses
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.formulas.mixers import supra
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.core.state import State, start_state
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.decays import alibi_log_decay, retnet_log_decay
from seqcost.layers.ops.gated_linear_attention import (
    gated_linear_attention,
    gated_linear_attention_step,
)
from seqcost.layers.ops.row_norms import group_norm
from seqcost.layers.parts.rope import rope_frequency, rope_tables, rope_turn

DECAYS: dict[str, Callable[[int, Tensor], Tensor]] = {"alibi": alibi_log_decay, "retnet": retnet_log_decay}


@dataclasses.dataclass(frozen=True)
class Linearised(State):
    """Σ γ^(t−s) k vᵀ [B,H,K,V], float32 at least, and how many tokens have passed."""

    S_BHKV: Tensor
    tokens: int


class Supra(CausalLayer):
    """See `seqcost.formulas.mixers.supra`."""

    Config = supra.Supra
    frequency: Tensor
    log_decay: Tensor | None

    def __init__(self, config: supra.Supra | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.query = nn.Linear(m.D, m.H * m.K, bias=False)
        self.key = nn.Linear(m.D, m.G * m.K, bias=False)
        self.value = nn.Linear(m.D, m.G * m.V, bias=False)
        self.feature = nn.Linear(m.H * m.K, m.H * m.K)
        if m.grouped:
            self.key_feature = nn.Linear(m.G * m.K, m.G * m.K)
        self.output = nn.Linear(m.H * m.V, m.D, bias=False)
        self.make_constants()

    def constants(self) -> dict[str, Tensor | None]:
        m, weight = self.config, self.query.weight
        return {
            "frequency": rope_frequency(m.K, m.rope_base, weight.device),
            "log_decay": None if m.decay == "none" else DECAYS[m.decay](m.H, weight),
        }

    def init_state(self, batch: int) -> Linearised:
        m = self.config
        return Linearised(start_state(batch, m.H, m.K, m.V, like=self.query.weight), 0)

    def extend(self, x_BTD: Tensor, state: Linearised) -> tuple[Tensor, Linearised]:
        check_features(self, x_BTD)
        q, k, v = self._heads(x_BTD, state.tokens)
        y, S = gated_linear_attention(q, k, v, state.S_BHKV, C=self.config.C, gate=self.log_decay)
        return self._joined(y, x_BTD), Linearised(S, state.tokens + x_BTD.shape[1])

    def step(self, x_BD: Tensor, state: Linearised) -> tuple[Tensor, Linearised]:
        q, k, v = (a.squeeze(1) for a in self._heads(x_BD.unsqueeze(1), state.tokens))
        y, S = gated_linear_attention_step(q, k, v, state.S_BHKV, self.log_decay)
        return self._joined(y, x_BD), Linearised(S, state.tokens + 1)

    def _heads(self, x_BTD: Tensor, past: int) -> tuple[Tensor, Tensor, Tensor]:
        """φ(q), φ(k)/√K and v, as many heads each."""
        m = self.config
        key_feature = self.key_feature if m.grouped else self.feature
        q_BTHK = F.relu(self.feature(self.query(x_BTD))).unflatten(-1, (m.H, m.K))
        k_BTGK = F.relu(key_feature(self.key(x_BTD))).unflatten(-1, (m.G, m.K)) * m.K**-0.5
        v_BTGV = self.value(x_BTD).unflatten(-1, (m.G, m.V))
        cos, sin = rope_tables(past, x_BTD.shape[1], self.frequency, x_BTD)
        q, k, v = rope_turn(q_BTHK, cos, sin), rope_turn(k_BTGK, cos, sin), v_BTGV
        return (q, _repeated(k, m.H), _repeated(v, m.H)) if m.grouped else (q, k, v)

    def _joined(self, y: Tensor, x: Tensor) -> Tensor:
        """Each head normalised, then all projected, in the dtype of the input x."""
        return self.output(group_norm(y, self.config.epsilon).to(x.dtype).flatten(-2))

    def reference(self, x_BTD: Tensor) -> Tensor:
        """Token by token: the memory fades, takes in k vᵀ and is read by q."""
        q, k, v = (at_least_float32(a) for a in self._heads(x_BTD, 0))
        decay = 1.0 if self.log_decay is None else self.log_decay.exp()[:, None, None]
        rows, S = [], torch.zeros_like(self.init_state(x_BTD.shape[0]).S_BHKV)
        for t in range(x_BTD.shape[1]):
            S = decay * S + torch.einsum("bhk,bhv->bhkv", k[:, t], v[:, t])
            rows.append(torch.einsum("bhkv,bhk->bhv", S, q[:, t]))
        return self._joined(torch.stack(rows, dim=1), x_BTD)


def _repeated(x_BTGK: Tensor, H: int) -> Tensor:
    """Each key/value head once for every query head of its group: [B,T,G,K] → [B,T,H,K]."""
    B, T, G, K = x_BTGK.shape
    shown = x_BTGK.unsqueeze(3).expand(B, T, G, H // G, K)
    return shown.clone(memory_format=torch.contiguous_format).view(B, T, H, K)
