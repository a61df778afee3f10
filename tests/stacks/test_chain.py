"""Series, repetition and residual connections, formula and layer."""

import torch

from seqcost.algebra import Kind, symbols
from seqcost.formulas import Workload
from seqcost.formulas.mixers.attention import Attention
from seqcost.formulas.mixers.rnn import Rnn
from seqcost.formulas.mixers.s4d import S4d
from seqcost.formulas.parts.feed_forward import FeedForward
from seqcost.formulas.parts.norm import Norm
from seqcost.formulas.stacks.chain import Chain, Repeat, Residual
from seqcost.layers import build
from seqcost.layers.stacks.chain import Residual as ResidualLayer

RUN = Workload(B=3, T=63)
CELL, FFN, NORM = Rnn(D=16, N=16), FeedForward(D=16, F=100), Norm(D=16)


def test_costs_of_a_chain_add_up():
    chain = Chain.of(norm=NORM, cell=CELL, ffn=FFN)
    for question in ("flops", "backward_flops", "bytes_moved", "depth", "state_bytes"):
        parts = sum(getattr(part, question)(RUN).total(*Kind) for part in (NORM, CELL, FFN))
        assert getattr(chain, question)(RUN).total(*Kind) == parts
    assert [line.name for line in chain.params().group()] == ["norm", "cell", "ffn"]


def test_a_tensor_at_a_seam_is_counted_once():
    token_bytes = 3 * 63 * 16 * 4
    alone = NORM.saved_bytes(RUN).total() + FFN.saved_bytes(RUN).total()
    assert Chain.of(norm=NORM, ffn=FFN).saved_bytes(RUN).total() == alone
    twice = Chain.of(stack=Repeat(FFN, 3)).saved_bytes(RUN)
    assert twice.total() == 3 * FFN.saved_bytes(RUN).total()
    # An RNN keeps neither its input nor its output as they are: nothing at the seam.
    assert Chain.of(a=CELL, b=CELL).saved_bytes(RUN).total() == 2 * CELL.saved_bytes(RUN).total()
    assert Chain.of(a=CELL, b=FFN).saved_bytes(RUN).select("a.batch_first").total() == token_bytes


def test_repeating_a_symbolic_number_of_times():
    (L,) = symbols("L").values()
    chain = Chain.of(stack=Repeat(FFN, L))
    for question in ("flops", "saved_bytes", "depth"):
        symbolic = getattr(chain, question)(RUN).substitute(L=7).total(*Kind)
        assert symbolic == getattr(Chain.of(stack=Repeat(FFN, 7)), question)(RUN).total(*Kind)


def test_one_layer_that_reaches_everywhere_shortens_the_path():
    attention = Attention(D=16, H=2)
    assert Chain.of(a=CELL, b=FFN).path_length(RUN).total() == 63
    assert Chain.of(a=CELL, b=attention).path_length(RUN).total() == 1
    assert len(Chain.of(a=FFN, b=NORM).path_length(RUN)) == 0


def test_a_chain_decodes_if_all_its_links_do():
    assert Chain.of(a=CELL, b=Attention(D=16, H=2)).decodes
    assert not Chain.of(a=CELL, b=Attention(D=16, H=2, causal=False)).decodes


def test_an_unnamed_link_takes_no_prefix():
    chain = Chain((("norm", NORM), ("", FFN)))
    assert {line.name for line in chain.params()} == {
        "norm.gain", "norm.shift", "up", "down", "up_bias", "down_bias",
    }  # fmt: skip


def test_a_residual_adds_its_input():
    torch.manual_seed(0)
    layer = build(Residual(FFN))
    assert isinstance(layer, ResidualLayer)
    x = torch.randn(2, 63, 16)
    assert torch.equal(layer(x), x + layer.inner(x))
    extra = Residual(FFN).flops(RUN).total(*Kind) - FFN.flops(RUN).total(*Kind)
    assert extra == 3 * 63 * 16


def test_the_layer_of_a_chain_runs_its_links_in_order():
    torch.manual_seed(0)
    layer = build(Chain.of(norm=NORM, cell=Repeat(CELL, 2)))
    x = torch.randn(2, 5, 16)
    first, second = layer.get_submodule("cell").links
    assert torch.equal(layer(x), second(first(layer.get_submodule("norm")(x))))


def test_behind_other_operators_the_longest_chain_starts_at_the_tokens():
    # Alone, S4D's longest chain of a step starts at the state it is given, two operators before the token comes in:
    # one operator in front of the mixer is not on it, three are.
    mixer, step = S4d(D=16, N=4), RUN.step()
    alone = mixer.depth(step).total()
    assert Chain.of(norm=NORM, mixer=mixer).depth(step).total() == alone
    behind = Chain.of(norms=Repeat(NORM, 3), mixer=mixer).depth(step)
    assert behind.select("norms").total() == 3
    assert behind.select("mixer").total() == alone - 2
