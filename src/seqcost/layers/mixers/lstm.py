"""Long short-term memory over torch.nn.LSTM. Letters: see formulas."""

import dataclasses
from typing import Any

from torch import Tensor, nn

from seqcost.formulas.mixers import lstm
from seqcost.layers.core.state import State, empty
from seqcost.layers.parts.recurrence import RecurrentLayer


@dataclasses.dataclass(frozen=True)
class HiddenCell(State):
    """Hidden state h [B,N] and cell state c [B,N]."""

    h_BN: Tensor
    c_BN: Tensor


class Lstm(RecurrentLayer):
    """See `seqcost.formulas.mixers.lstm`."""

    Config = lstm.Lstm
    Kernel = nn.LSTM

    def init_state(self, batch: int) -> HiddenCell:
        zeros = empty(batch, self.config.N, like=self.cell.weight_hh_l0)
        return HiddenCell(zeros, zeros.clone())

    def to_kernel(self, state: HiddenCell) -> tuple[Tensor, Tensor]:
        return state.h_BN.unsqueeze(0), state.c_BN.unsqueeze(0)

    def from_kernel(self, after: Any) -> HiddenCell:
        return HiddenCell(after[0].squeeze(0), after[1].squeeze(0))

    def cell_step(self, x_BD: Tensor, state: HiddenCell) -> HiddenCell:
        input_gates, hidden_gates = self.projections(x_BD, state, lstm.GATES)
        i, f, g, o = (x + h for x, h in zip(input_gates, hidden_gates, strict=True))
        c = f.sigmoid() * state.c_BN + i.sigmoid() * g.tanh()
        return HiddenCell(o.sigmoid() * c.tanh(), c)
