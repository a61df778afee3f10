"""AFT-simple: a gated softmax average over the prefix for each feature. Letters: see formulas."""

import dataclasses

import torch
from torch import Tensor, nn

from seqcost.formulas.mixers import aft
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.core.state import State
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.prefix_attention import prefix_attention, prefix_attention_step
from seqcost.layers.ops.scan import wide_start


@dataclasses.dataclass(frozen=True)
class Average(State):
    """The largest key so far m [B,D], and w beside u [B,D,2], the sums relative to it; float32 at least."""

    m_BD: Tensor
    wu_BD2: Tensor


class Aft(CausalLayer):
    """See `seqcost.formulas.mixers.aft`."""

    Config = aft.Aft

    def __init__(self, config: aft.Aft | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        D, bias = self.config.D, self.config.bias
        self.query, self.key, self.value = (nn.Linear(D, D, bias=bias) for _ in range(3))

    def init_state(self, batch: int) -> Average:
        D, like = self.config.D, self.query.weight
        return Average(wide_start(-torch.inf, batch, D, like=like), wide_start(0.0, batch, D, 2, like=like))

    def extend(self, x_BTD: Tensor, state: Average) -> tuple[Tensor, Average]:
        check_features(self, x_BTD)
        q_BTD, k_BTD, v_BTD1 = self._projected(x_BTD)
        o_BTD1, *after = prefix_attention(k_BTD, v_BTD1, state.m_BD, state.wu_BD2, self.config.C)
        return q_BTD.sigmoid() * o_BTD1.squeeze(-1).to(q_BTD.dtype), Average(*after)

    def step(self, x_BD: Tensor, state: Average) -> tuple[Tensor, Average]:
        q_BD, k_BD, v_BD1 = self._projected(x_BD)
        o_BD1, *after = prefix_attention_step(k_BD, v_BD1, state.m_BD, state.wu_BD2)
        return q_BD.sigmoid() * o_BD1.squeeze(-1).to(q_BD.dtype), Average(*after)

    def _projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.query(x), at_least_float32(self.key(x)), at_least_float32(self.value(x)).unsqueeze(-1)

    def reference(self, x_BTD: Tensor) -> Tensor:
        """The two sums of every prefix, relative to its largest key, a token at a time."""
        outputs = []
        m_BD, (w_BD, u_BD) = self.init_state(x_BTD.shape[0]).m_BD, self.init_state(x_BTD.shape[0]).wu_BD2.unbind(-1)
        for x_BD in x_BTD.unbind(1):
            k_BD, v_BD = at_least_float32(self.key(x_BD)), at_least_float32(self.value(x_BD))
            larger_BD = torch.maximum(m_BD, k_BD)
            old, new = (m_BD - larger_BD).exp(), (k_BD - larger_BD).exp()
            w_BD, u_BD, m_BD = w_BD * old + v_BD * new, u_BD * old + new, larger_BD
            outputs.append(torch.sigmoid(self.query(x_BD)) * (w_BD / u_BD).to(x_BTD.dtype))
        return torch.stack(outputs, dim=1)
