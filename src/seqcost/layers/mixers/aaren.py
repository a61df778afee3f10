"""Attention as a recurrent network: one learned query over every prefix. Letters: see formulas."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.formulas.mixers import aaren
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.core.state import State
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.prefix_attention import prefix_attention, prefix_attention_step
from seqcost.layers.ops.scan import wide_start


@dataclasses.dataclass(frozen=True)
class Prefix(State):
    """The largest score so far m [B,H], and w beside u [B,H,K+1], the sums relative to it; float32 at least."""

    m_BH: Tensor
    wu_BHK1: Tensor


class Aaren(CausalLayer):
    """See `seqcost.formulas.mixers.aaren`."""

    Config = aaren.Aaren

    def __init__(self, config: aaren.Aaren | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.token = nn.Parameter(torch.randn(1, m.D))
        self.query = nn.Linear(m.D, m.H * m.K, bias=m.bias)
        self.key = nn.Linear(m.D, m.H * m.K, bias=m.bias)
        self.value = nn.Linear(m.D, m.H * m.K, bias=m.bias)
        self.output = nn.Linear(m.H * m.K, m.D, bias=m.bias)

    def init_state(self, batch: int) -> Prefix:
        H, K = self.config.H, self.config.K
        return Prefix(
            wide_start(-torch.inf, batch, H, like=self.token), wide_start(0.0, batch, H, K + 1, like=self.token)
        )

    def extend(self, x_BTD: Tensor, state: Prefix) -> tuple[Tensor, Prefix]:
        check_features(self, x_BTD)
        o_BTHK, *after = prefix_attention(*self._scores_values(x_BTD), state.m_BH, state.wu_BHK1, self.config.C)
        return self._out(o_BTHK), Prefix(*after)

    def step(self, x_BD: Tensor, state: Prefix) -> tuple[Tensor, Prefix]:
        o_BHK, *after = prefix_attention_step(*self._scores_values(x_BD), state.m_BH, state.wu_BHK1)
        return self._out(o_BHK), Prefix(*after)

    def reference(self, x_BTD: Tensor) -> Tensor:
        """Keys of all tokens, scores of the one query, and the recurrence of (m, u, w) a token at a time."""
        H, K = self.config.H, self.config.K
        q_HK = self.query(self.token).view(H, K)
        m_BH1 = self.init_state(x_BTD.shape[0]).m_BH.unsqueeze(-1)
        u, w, outputs = torch.zeros_like(m_BH1), torch.zeros_like(m_BH1), []
        for x_BD in x_BTD.unbind(1):
            k_BHK, v_BHK = self.key(x_BD).unflatten(-1, (H, K)), self.value(x_BD).unflatten(-1, (H, K))
            s_BH1 = at_least_float32((q_HK * k_BHK).sum(-1, keepdim=True) / K**0.5)
            larger_BH1 = torch.maximum(m_BH1, s_BH1)
            old, new = (m_BH1 - larger_BH1).exp(), (s_BH1 - larger_BH1).exp()
            u, w, m_BH1 = u * old + new, w * old + v_BHK * new, larger_BH1
            outputs.append(self._out(w / u))
        return torch.stack(outputs, dim=1)

    def _scores_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """One score per head and its value; the keys are folded into the query and never made."""
        H, K = self.config.H, self.config.K
        q_H1K = (self.query(self.token) * K**-0.5).view(H, 1, K)
        folded_HD = torch.bmm(q_H1K, self.key.weight.view(H, K, -1)).squeeze(1)
        shift_H = torch.bmm(q_H1K, self.key.bias.view(H, K, 1)).flatten() if self.config.bias else None
        scores = F.linear(x, folded_HD, shift_H)
        return at_least_float32(scores), at_least_float32(self.value(x)).unflatten(-1, (H, K))

    def _out(self, o: Tensor) -> Tensor:
        return self.output(o.to(self.token.dtype).flatten(-2))
