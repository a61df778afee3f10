"""Learned and sinusoidal positions, token types."""

import pytest
import torch
from oracles import relative_error

from seqcost.errors import BadSize
from seqcost.formulas import Workload
from seqcost.formulas.parts.positions import LearnedPositions as Formula
from seqcost.formulas.parts.positions import TokenType
from seqcost.layers import LearnedPositions, SinusoidalPositions, build


def test_sinusoids_are_the_definition():
    # Vaswani et al. 2017, section 3.5, sines first and cosines after them instead of in turns.
    x = torch.zeros(1, 63, 16)
    t, i = torch.arange(63.0)[:, None], torch.arange(0, 16, 2)
    angle = t / 10000 ** (i / 16)
    expected = torch.cat([angle.sin(), angle.cos()], dim=-1)[None]
    assert relative_error(SinusoidalPositions(D=16)(x), expected) < 1e-5


def test_tokens_are_scaled_by_the_root_of_the_width():
    layer = SinusoidalPositions(D=16)
    x = torch.randn(1, 5, 16)
    assert relative_error(layer(x) - layer(torch.zeros_like(x)), 4 * x) < 1e-5


@pytest.mark.parametrize(
    "make", [lambda: LearnedPositions(M=64, D=16), lambda: SinusoidalPositions(D=16)], ids=["learned", "sinusoidal"]
)
def test_the_state_counts_tokens(make):
    layer = make()
    x = torch.zeros(1, 7, 16)
    state = layer.init_state(1)
    for piece in x.split([3, 0, 4], dim=1):
        y, state = layer.extend(piece, state)
    assert state.tokens == 7
    assert state.nbytes == 0
    assert torch.equal(y, layer(x)[:, 3:])


def test_a_learned_table_ends():
    layer = LearnedPositions(M=64, D=16)
    assert layer(torch.zeros(1, 64, 16)).shape == (1, 64, 16)
    with pytest.raises(BadSize, match="65 tokens were given to a learned table of 64 positions"):
        layer(torch.zeros(1, 65, 16))


def test_every_token_is_of_the_first_type():
    layer = build(TokenType(A=2, D=16))
    x = torch.randn(1, 5, 16)
    assert torch.equal(layer(x), x + layer.weight[0])
    assert TokenType(A=2, D=16).params().total() == layer.weight.numel()


def test_positions_cost_one_add_an_element_and_no_memory():
    run = Workload(B=3, T=63)
    assert Formula(M=64, D=16).flops(run).total() == 3 * 63 * 16
    assert Formula(M=64, D=16).saved_bytes(run).total() == 0
