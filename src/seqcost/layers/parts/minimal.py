"""The frame of the minimal recurrent layers: gates that see the input alone, then a diagonal linear recurrence."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features
from seqcost.layers.ops.chunks import at_least_float32
from seqcost.layers.ops.scan import linear_scan, wide_start
from seqcost.layers.parts.recurrence import Hidden


class MinimalLayer(CausalLayer):
    """One product makes the gates and candidates of all tokens; the state h [B,N] is float32 at least."""

    def __init__(self, config: Any = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.input = nn.Linear(m.D, m.PIECES * m.N, bias=m.bias)
        if m.project:
            self.output = nn.Linear(m.N, m.D, bias=m.bias)

    @abstractmethod
    def recurrence(self, *pieces: Tensor) -> tuple[Tensor, Tensor]:
        """The pieces of the product → a, b of h = a ⊙ h + b."""

    @abstractmethod
    def cell_step(self, h_BN: Tensor, *pieces: Tensor) -> Tensor:
        """The paper's equations for one token."""

    def init_state(self, batch: int) -> Hidden:
        return Hidden(wide_start(0.0, batch, self.config.N, like=self.input.weight))

    def extend(self, x_BTD: Tensor, state: Hidden) -> tuple[Tensor, Hidden]:
        check_features(self, x_BTD)
        h_BTN, last_BN = linear_scan(*self.recurrence(*self._pieces(x_BTD)), state.h_BN, self.config.C)
        return self._out(h_BTN), Hidden(last_BN)

    def step(self, x_BD: Tensor, state: Hidden) -> tuple[Tensor, Hidden]:
        a_BN, b_BN = self.recurrence(*self._pieces(x_BD))
        h_BN = torch.addcmul(b_BN, a_BN, state.h_BN)
        return self._out(h_BN), Hidden(h_BN)

    def reference(self, x_BTD: Tensor) -> Tensor:
        """The equations, a token at a time."""
        h_BN, outputs = self.init_state(x_BTD.shape[0]).h_BN, []
        for x_BD in x_BTD.unbind(1):
            h_BN = self.cell_step(h_BN, *self._pieces(x_BD))
            outputs.append(self._out(h_BN))
        return torch.stack(outputs, dim=1)

    def _pieces(self, x: Tensor) -> tuple[Tensor, ...]:
        return at_least_float32(self.input(x)).chunk(self.config.PIECES, dim=-1)

    def _out(self, h: Tensor) -> Tensor:
        h = h.to(self.input.weight.dtype)
        return self.output(h) if self.config.project else h


def positive(x: Tensor) -> Tensor:
    """The function x + ½ where x ≥ 0, else σ(x): the candidate state kept above 0."""
    return torch.where(x >= 0, x + 0.5, x.sigmoid())
