"""What a formula becomes as one of its letters grows."""

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from seqcost.algebra import Bill, Kind, ceil_div, leading_term, maximum, minimum, symbols, where

B, C, D, T, W = symbols("BCDTW").values()
LOG = sympy.log(T, 2)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (24 * B * D**2 * T + 4 * B * D * T**2, 4 * B * D * T**2),
        (2 * T * (3 * D + T) - T * (T + 1), T**2),  # what is left after cancelling
        (D * T + B * T + 5, (B + D) * T),
        (7 * D**2, 7 * D**2),  # the letter does not occur
        (12, 12),
        (ceil_div(T, C) * C * D, T * D),  # rounding up is dropped
        (ceil_div(T, 64) ** 2, T**2 / 4096),
        (minimum(T, W) * T, W * T),  # a window
        (maximum(T, W) * D, T * D),
        (maximum(T**2, D * T), T**2),
        (minimum(T**2, T * LOG), T * sympy.log(T) / sympy.log(2)),
        (T * LOG + 100 * T, T * sympy.log(T) / sympy.log(2)),
        (T * LOG + T**2 / 8, T**2 / 8),
        (3 * D * T * LOG + D * T * LOG, 4 * D * T * sympy.log(T) / sympy.log(2)),
        (where(T > 1, T**2, 0) + T, T**2),  # a mask, which one token does not need
        (where(T > W, W * T, T**2), W * T),
        (where(T < W, T**2, W * T), W * T),
        (maximum(B, D) * T + maximum(T, W), (maximum(B, D) + 1) * T),  # undecided: other letters
        (minimum(T, T + 3) + T, 2 * T),
        (where(ceil_div(D, 16) * 16 <= D, D + 16, D) * T, D * T),  # a relation of other letters: the last case
        (where(T <= W, T**2, where(T >= 2 * W, 3 * T, T)), 3 * T),
    ],
    ids=str,
)
def test_leading_term_in_T(formula, expected):
    assert sympy.simplify(leading_term(formula, "T") - expected) == 0


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=5), st.integers(1, 9))
def test_leading_term_of_a_polynomial_is_its_highest_power(lower, top):
    degree = len(lower)
    formula = top * T**degree + sum(c * T**power for power, c in enumerate(lower))
    assert leading_term(formula, "T") == top * T**degree


def test_one_formula_leads_differently_in_another_letter():
    bill = Bill.of(Kind.CONTRACTION, project=8 * B * T * D**2, scores=4 * B * D * T**2)
    assert bill.leading("T") == 4 * B * D * T**2
    assert bill.leading("D") == 8 * B * T * D**2
    assert bill.leading("B") == B * (8 * T * D**2 + 4 * D * T**2).factor()


def test_leading_term_of_the_lines_of_one_kind():
    bill = Bill.of(Kind.CONTRACTION, scores=D * T) + Bill.of(Kind.POINTWISE, softmax=5 * T**2)
    assert bill.leading("T", Kind.CONTRACTION) == D * T
    assert bill.leading("T", *Kind) == 5 * T**2
