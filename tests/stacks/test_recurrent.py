"""Recurrent language models."""

import pytest

from seqcost.algebra import Kind
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import configure
from seqcost.formulas.stacks.recurrent import CELLS

RUN = Workload(B=3, T=63)


@pytest.mark.parametrize("cell", CELLS)
def test_the_first_layer_reads_the_embedding_and_the_others_the_layer_below(cell):
    model = configure(cell, U=100, D=16, N=63, L=3, tied=False)
    first, others = CELLS[cell](D=16, N=63), CELLS[cell](D=63, N=63)
    embedding, head = 100 * 16, 63 * 100
    assert model.params().total() == embedding + first.params().total() + 2 * others.params().total() + head
    assert model.state_bytes(RUN).total() == 3 * first.state_bytes(RUN).total()


@pytest.mark.parametrize("cell", CELLS)
def test_one_layer_is_allowed(cell):
    names = [line.name for line in configure(cell, L=1).params().group()]
    assert names == ["embedding", "first"]


def test_the_head_counts_and_the_look_up_does_not():
    flops = configure("lstm", U=100, D=16, L=1).flops(RUN).only(Kind.CONTRACTION).group()
    assert {line.name for line in flops} == {"first", "head"}
    assert flops.select("head").total(*Kind) == 2 * 3 * 63 * 16 * 100
