"""From samples to the formula behind them, in whole blocks too, or a refusal."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqcost.algebra import ceil_div, fit, lift
from seqcost.algebra.curve import Curve
from seqcost.algebra.lift import MAX_DEGREE, SPARE_POINTS, interpolate, lengths_for, lift_blocks

COEFFICIENTS = st.lists(
    st.fractions(-(2**40), 2**40, max_denominator=64) | st.integers(-(2**80), 2**80).map(Fraction),
    min_size=1,
    max_size=MAX_DEGREE + 1,
).map(lambda cs: (*cs, Fraction(1)) if len(cs) <= MAX_DEGREE and cs[-1] == 0 else tuple(cs))
LENGTHS = st.lists(st.integers(1, 4096), min_size=MAX_DEGREE + 1 + SPARE_POINTS, max_size=9, unique=True)


def value(coefficients, n):
    return sum(c * n**power for power, c in enumerate(coefficients))


def without_zeros(coefficients):
    kept = list(coefficients)
    while len(kept) > 1 and kept[-1] == 0:
        kept.pop()
    return tuple(kept)


@given(COEFFICIENTS, LENGTHS)
def test_a_polynomial_is_recovered_exactly(coefficients, lengths):
    found = lift(lambda n: value(coefficients, n), lengths)
    assert found == Curve.polynomial(coefficients, valid_from=min(lengths))
    assert found.coefficients == without_zeros(coefficients)
    assert found(10**30) == value(coefficients, 10**30)


@given(COEFFICIENTS, LENGTHS, st.integers(1, 2**40), st.data())
def test_one_wrong_point_is_refused(coefficients, lengths, error, data):
    values = {n: value(coefficients, n) for n in lengths}
    values[data.draw(st.sampled_from(lengths))] += error
    found = fit(values)
    assert not found.exact
    assert found.values == values


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.integers(-(10**9), 10**9)), min_size=1, max_size=7, unique_by=lambda p: p[0]
    )
)
def test_interpolation_passes_through_every_point(points):
    nodes = [n for n, _ in points]
    terms = interpolate({(i,): Fraction(y) for i, (_, y) in enumerate(points)}, [nodes])
    assert all(sum(c * n**power for (power,), c in terms.items()) == y for n, y in points)
    assert all(power < len(points) for (power,) in terms)


def test_short_lengths_on_another_branch_are_dropped_and_not_claimed():
    window = 10
    found = lift(lambda n: n * min(n, window), [2, 5, 9, 12, 20, 63, 100])
    assert found == Curve.polynomial((0, window), valid_from=12)


def test_two_spare_points_must_agree():
    # Four lengths above the branch: a line through two of them, confirmed by the other two. Three would not do.
    assert lift(lambda n: n * min(n, 10), [2, 5, 12, 20, 63, 100]).exact
    assert not lift(lambda n: n * min(n, 10), [2, 5, 7, 20, 63, 100]).exact


def test_what_is_no_polynomial_stays_samples():
    found = lift(lambda n: -(-n // 64), [1, 63, 64, 65, 100, 128, 200])
    assert not found.exact
    assert found.reason == "no polynomial of degree 4 or less passes through 7 lengths"


def test_degree_five_is_too_high():
    assert not lift(lambda n: n**5, range(1, 12)).exact
    assert lift(lambda n: n**4, range(1, 12)).degree == 4


def test_a_single_point_confirms_nothing():
    assert not fit({64: 100}).exact
    assert fit({64: 100, 65: 100}).exact


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
