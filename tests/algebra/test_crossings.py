"""At which lengths the order of two costs changes, against looking at every length."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seqcost.algebra import Curve
from seqcost.algebra.crossings import FARTHEST, Crossing, crossings


def polynomial(*coefficients):
    return Curve.polynomial(coefficients)


def by_looking(cost_a, cost_b, farthest):
    found, order = [], 0
    for length in range(1, farthest + 1):
        difference = cost_a(length) - cost_b(length)
        now = (difference > 0) - (difference < 0)
        if now and order and now != order:
            found.append(Crossing(*(("a", "b") if now > 0 else ("b", "a")), length))
        order = now or order
    return found


@given(st.lists(st.integers(1, 200), min_size=1, max_size=3), st.sampled_from((-1, 1)), st.integers(0, 1))
@example(roots=[63, 64], sign=1, half=0)  # two crossings side by side
@example(roots=[100, 100], sign=1, half=0)  # touches and turns back
def test_of_polynomials_equals_looking_at_every_length(roots, sign, half):
    def product(length):
        out = Fraction(sign)
        for root in roots:
            out *= length - root - Fraction(half, 2)
        return out

    coefficients = [Fraction(sign)]
    for root in roots:
        at = root + Fraction(half, 2)
        shifted = [Fraction(0), *coefficients]
        coefficients = [s - at * c for s, c in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    difference = polynomial(*coefficients)
    assert difference(7) == product(7)
    assert crossings(("a", difference), ("b", polynomial(0)), farthest=300) == by_looking(
        difference, polynomial(0), 300
    )


@pytest.mark.parametrize("length", [2, 63, 64, 100, 10**6 + 1])
def test_a_crossing_of_any_two_functions_is_the_first_length(length):
    (found,) = crossings(("steep", lambda n: n * n), ("flat", lambda n: n * length))
    assert found == Crossing("steep", "flat", length + 1)


def test_equal_costs_never_cross():
    assert crossings(("a", lambda n: n * n), ("b", lambda n: n)) == []  # equal at 1, apart from then on
    assert crossings(("a", lambda n: n), ("b", lambda n: n)) == []
    assert crossings(("a", polynomial(0, 1)), ("b", polynomial(1, 1))) == []


def test_attention_overtakes_projections_at_six_widths():
    D = 768
    linear, quadratic = polynomial(0, 24 * D * D), polynomial(0, 0, 4 * D)
    assert crossings(("attention", quadratic), ("projections", linear)) == [
        Crossing("attention", "projections", 6 * D + 1)
    ]


def test_beyond_the_farthest_length_nothing_is_said():
    assert crossings(("a", polynomial(0, 1)), ("b", polynomial(2 * FARTHEST))) == []
