"""Costs that round up to whole blocks: found exactly, or not at all."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqcost.algebra import ceil_div
from seqcost.algebra.quasi import lengths_for, lift_blocks


@settings(max_examples=30)
@given(
    c=st.integers(2, 64),
    a=st.integers(0, 10**6),
    b=st.integers(1, 10**9),
    d=st.integers(-(10**6), 10**6),
    e=st.integers(0, 9),
)
def test_what_was_put_in_comes_out(c, a, b, d, e):
    def cost(T):
        return a * T + b * ceil_div(T, c) + d + e * T * ceil_div(T, c)

    found = lift_blocks(cost, lengths_for([c]), [c, c + 1, 2 * c])
    assert found is not None
    assert found.blocks == (c,)
    assert all(found(T) == cost(T) for T in (1, c, 10 * c + 1, 10**9 + 7))


def test_blocks_of_two_tokens():
    found = lift_blocks(lambda T: (1 + T) * ceil_div(T, 2), lengths_for([2]), [2])
    assert str(found) == "T·⌈T/2⌉ + ⌈T/2⌉"


def test_two_blocks():
    found = lift_blocks(lambda T: 3 * T + 5 * ceil_div(T, 16) + 7 * ceil_div(T, 64), lengths_for([16, 64]), [16, 64])
    assert str(found) == "3·T + 5·⌈T/16⌉ + 7·⌈T/64⌉"
    assert found.to_dict() == {
        "variable": "T",
        "blocks": [16, 64],
        "terms": [
            {"coefficient": "3", "power": 1, "block_powers": [0, 0]},
            {"coefficient": "5", "power": 0, "block_powers": [1, 0]},
            {"coefficient": "7", "power": 0, "block_powers": [0, 1]},
        ],
        "valid_from": 1,
        "exact": True,
    }


@pytest.mark.parametrize(
    "cost", [lambda T: T**3, lambda T: T * T.bit_length(), lambda T: ceil_div(T, 48)], ids=["cube", "log", "other"]
)
def test_what_is_no_such_formula_is_refused(cost):
    assert lift_blocks(cost, lengths_for([16, 64]), [16, 64]) is None


def test_coefficients_are_exact():
    found = lift_blocks(lambda T: Fraction(1, 3) * T + Fraction(2, 7) * ceil_div(T, 8), lengths_for([8]), [8])
    assert found(10**30) == Fraction(10**30, 3) + Fraction(2, 7) * (10**30 // 8)
