"""The encoder-decoder: the source is encoded once."""

import pytest

from seqcost.algebra import Kind
from seqcost.formulas import Workload
from seqcost.formulas.catalogue import configure

RUN = Workload(B=3, T=63, S=100)


def test_table_3_of_vaswani():
    # Vaswani et al. 2017, table 3: 65 and 213 million, with a vocabulary of "about 37000".
    assert configure("transformer-base").params().total() == pytest.approx(65e6, rel=0.05)
    assert configure("transformer-big").params().total() == pytest.approx(213e6, rel=0.01)


def test_one_table_for_source_target_and_head():
    params = configure("transformer-base").params()
    tables = [line.amount for line in params if line.name.endswith("table") or line.name == "shared"]
    assert sum(tables) == 37000 * 512
    assert not [line for line in params if line.name.startswith("decoder.head")]


def test_decoding_does_not_encode_again():
    model = configure("transformer-base")
    step = model.step_flops(RUN)
    assert not [line for line in step if line.name.startswith("encoder.")]
    assert step.select("decoder.blocks.cross_attention").total(Kind.CONTRACTION) == 6 * (
        2 * 3 * 2 * 512 * 512 + 4 * 3 * 100 * 512  # W_q and W_o of one token; scores of 100 source tokens
    )


def test_state_holds_the_source_and_the_target_so_far():
    state = configure("transformer-base").state_bytes(RUN)
    assert state.total() == 6 * 2 * 4 * 3 * 512 * (63 + 100)


def test_costs_of_the_encoder_follow_the_source():
    model = configure("transformer-base")
    longer = Workload(B=3, T=63, S=200)
    encoder, decoder = (
        [line.amount for line in model.flops(run).select(side).only(Kind.CONTRACTION).group(2)]
        for side, run in (("encoder", longer), ("decoder", RUN))
    )
    assert sum(encoder) == 6 * (24 * 3 * 200 * 512**2 + 4 * 3 * 200**2 * 512)
    assert sum(decoder) > 0
