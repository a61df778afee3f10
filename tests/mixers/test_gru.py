"""GRU: what it shares with its kin is in recurrent_cells; here stand its numbers."""

from recurrent_cells import Cell, RecurrentTests
from torch import nn

from seqcost.formulas.mixers.gru import Gru as Formula
from seqcost.layers import Gru


class TestGru(RecurrentTests):
    cell = Cell(Formula, Gru, nn.GRU, gates=3, params=21888)
