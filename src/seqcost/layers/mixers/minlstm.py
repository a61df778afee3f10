"""Minimal long short-term memory: its gates do not look at the state and add up to 1. Letters: see formulas."""

import torch.nn.functional as F
from torch import Tensor

from seqcost.formulas.mixers import minlstm
from seqcost.layers.parts.minimal import MinimalLayer, positive


class MinLstm(MinimalLayer):
    """See `seqcost.formulas.mixers.minlstm`."""

    Config = minlstm.MinLstm

    def recurrence(self, *pieces: Tensor) -> tuple[Tensor, Tensor]:
        candidate, forget, write = pieces
        decay = (F.softplus(-write) - F.softplus(-forget)).sigmoid()  # f/(f + i) = σ(log f − log i)
        return decay, (1 - decay) * positive(candidate)

    def cell_step(self, h_BN: Tensor, *pieces: Tensor) -> Tensor:
        candidate, forget, write = pieces
        f, i = forget.sigmoid(), write.sigmoid()
        return f / (f + i) * h_BN + i / (f + i) * positive(candidate)
