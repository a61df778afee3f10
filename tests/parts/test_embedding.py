"""The look-up."""

import torch

from seqcost.formulas import Workload
from seqcost.formulas.parts.embedding import Embedding as Formula
from seqcost.layers import Embedding


def test_a_look_up_costs_bytes_and_no_flop():
    run = Workload(B=3, T=63, itemsize=2)
    embedding = Formula(U=100, D=16)
    assert embedding.flops(run).total() == 0
    assert embedding.bytes_moved(run).total() == 3 * 63 * (2 * 16 * 2 + 8)
    assert embedding.saved_bytes(run).total() == 3 * 63 * 8


def test_it_gives_the_rows_of_its_table():
    layer = Embedding(U=100, D=16)
    ids = torch.tensor([[3, 3, 99]])
    assert torch.equal(layer(ids), layer.weight[ids])
    assert torch.equal(layer.step(ids[:, 0], layer.init_state(1))[0], layer.weight[[3]])
