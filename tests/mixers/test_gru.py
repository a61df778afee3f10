"""GRU: what it shares with its kin is in recurrent_cells; here stand its numbers."""

import small
from recurrent_cells import Cell, RecurrentTests
from torch import nn

from seqcost.formulas.mixers.gru import Gru as Formula
from seqcost.layers import Gru

VARIANTS = (
    small.Variant("gru-layer", "gru-layer", small.cell()),
    small.Variant("gru-layer-widths-differ", "gru-layer", small.cell(widths_differ=True)),
    small.Variant("gru", "gru", small.recurrent()),
)


class TestGru(RecurrentTests):
    cell = Cell(Formula, Gru, nn.GRU, gates=3, params=21888)
