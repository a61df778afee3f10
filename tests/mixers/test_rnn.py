"""RNN: what it shares with its kin is in recurrent_cells; here stand its numbers."""

import small
from recurrent_cells import Cell, RecurrentTests
from torch import nn

from seqcost.formulas.mixers.rnn import Rnn as Formula
from seqcost.layers import Rnn

VARIANTS = (
    small.Variant("rnn-layer", "rnn-layer", small.cell()),
    small.Variant("rnn-layer-widths-differ", "rnn-layer", small.cell(widths_differ=True)),
    small.Variant("rnn", "rnn", small.recurrent()),
    small.Variant("rnn-untied", "rnn", small.recurrent(widths_differ=True), {"tied": False}),
)


class TestRnn(RecurrentTests):
    cell = Cell(Formula, Rnn, nn.RNN, gates=1, params=7296)
