"""RNN: what it shares with its kin is in recurrent_cells; here stand its numbers."""

from recurrent_cells import Cell, RecurrentTests
from torch import nn

from seqcost.formulas.mixers.rnn import Rnn as Formula
from seqcost.layers import Rnn


class TestRnn(RecurrentTests):
    cell = Cell(Formula, Rnn, nn.RNN, gates=1, params=7296)
