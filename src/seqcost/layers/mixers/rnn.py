"""Elman's network over torch.nn.RNN. Letters: see formulas."""

from torch import Tensor, nn

from seqcost.formulas.mixers import rnn
from seqcost.layers.parts.recurrence import Hidden, RecurrentLayer


class Rnn(RecurrentLayer):
    """See `seqcost.formulas.mixers.rnn`."""

    Config = rnn.Rnn
    Kernel = nn.RNN

    def cell_step(self, x_BD: Tensor, state: Hidden) -> Hidden:
        (x,), (h,) = self.projections(x_BD, state, 1)
        return Hidden((x + h).tanh())
