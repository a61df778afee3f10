"""Minimal gated recurrent unit: its gate does not look at the state. Letters: see formulas."""

from torch import Tensor

from seqcost.formulas.mixers import mingru
from seqcost.layers.parts.minimal import MinimalLayer, positive


class MinGru(MinimalLayer):
    """See `seqcost.formulas.mixers.mingru`."""

    Config = mingru.MinGru

    def recurrence(self, *pieces: Tensor) -> tuple[Tensor, Tensor]:
        candidate, gate = pieces
        z = gate.sigmoid()
        return 1 - z, z * positive(candidate)

    def cell_step(self, h_BN: Tensor, *pieces: Tensor) -> Tensor:
        candidate, gate = pieces
        z = gate.sigmoid()
        return (1 - z) * h_BN + z * positive(candidate)
