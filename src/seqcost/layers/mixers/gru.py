"""Gated recurrent unit over torch.nn.GRU: the reset gate acts after the product. Letters: see formulas."""

from torch import Tensor, nn

from seqcost.formulas.mixers import gru
from seqcost.layers.parts.recurrence import Hidden, RecurrentLayer


class Gru(RecurrentLayer):
    """See `seqcost.formulas.mixers.gru`."""

    Config = gru.Gru
    Kernel = nn.GRU

    def cell_step(self, x_BD: Tensor, state: Hidden) -> Hidden:
        (x_r, x_z, x_n), (h_r, h_z, h_n) = self.projections(x_BD, state, gru.GATES)
        r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
        n = (x_n + r * h_n).tanh()
        return Hidden((1 - z) * n + z * state.h_BN)
