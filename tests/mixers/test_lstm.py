"""LSTM: what it shares with its kin is in recurrent_cells; here stand its numbers."""

import small
from recurrent_cells import Cell, RecurrentTests
from torch import nn

from seqcost.formulas.mixers.lstm import Lstm as Formula
from seqcost.layers import Lstm

VARIANTS = (
    small.Variant("lstm-layer", "lstm-layer", small.cell()),
    small.Variant("lstm-layer-widths-differ", "lstm-layer", small.cell(widths_differ=True)),
    small.Variant("lstm", "lstm", small.recurrent()),
    small.Variant("lstm-untied", "lstm", small.recurrent(widths_differ=True), {"tied": False, "head_bias": True}),
)


class TestLstm(RecurrentTests):
    cell = Cell(Formula, Lstm, nn.LSTM, gates=4, params=29184)
