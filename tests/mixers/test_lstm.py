"""LSTM: what it shares with its kin is in recurrent_cells; here stand its numbers."""

from recurrent_cells import Cell, RecurrentTests
from torch import nn

from seqcost.formulas.mixers.lstm import Lstm as Formula
from seqcost.layers import Lstm


class TestLstm(RecurrentTests):
    cell = Cell(Formula, Lstm, nn.LSTM, gates=4, params=29184)
