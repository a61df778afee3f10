"""From samples to the polynomial behind them, or a refusal."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqcost.algebra import Polynomial, Samples, fit, lift
from seqcost.algebra.lift import MAX_DEGREE, SPARE_POINTS, interpolate

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
    assert found == Polynomial("T", without_zeros(coefficients), valid_from=min(lengths))
    assert found(10**30) == value(coefficients, 10**30)


@given(COEFFICIENTS, LENGTHS, st.integers(1, 2**40), st.data())
def test_one_wrong_point_is_refused(coefficients, lengths, error, data):
    values = {n: value(coefficients, n) for n in lengths}
    values[data.draw(st.sampled_from(lengths))] += error
    found = fit(values)
    assert isinstance(found, Samples)
    assert found.values == values


@given(
    st.lists(
        st.tuples(st.integers(1, 500), st.integers(-(10**9), 10**9)), min_size=1, max_size=7, unique_by=lambda p: p[0]
    )
)
def test_interpolation_passes_through_every_point(points):
    coefficients = interpolate([(n, Fraction(y)) for n, y in points])
    assert all(value(coefficients, n) == y for n, y in points)
    assert len(coefficients) <= len(points)


def test_short_lengths_on_another_branch_are_dropped_and_not_claimed():
    window = 10
    found = lift(lambda n: n * min(n, window), [2, 5, 9, 12, 20, 63, 100])
    assert found == Polynomial("T", (Fraction(0), Fraction(window)), valid_from=12)


def test_two_spare_points_must_agree():
    # Four lengths above the branch: a line through two of them, confirmed by the other two. Three would not do.
    assert isinstance(lift(lambda n: n * min(n, 10), [2, 5, 12, 20, 63, 100]), Polynomial)
    assert isinstance(lift(lambda n: n * min(n, 10), [2, 5, 7, 20, 63, 100]), Samples)


def test_what_is_no_polynomial_stays_samples():
    found = lift(lambda n: -(-n // 64), [1, 63, 64, 65, 100, 128, 200])
    assert isinstance(found, Samples)
    assert found.reason == "no polynomial of degree 4 or less passes through 7 lengths"


def test_degree_five_is_too_high():
    assert isinstance(lift(lambda n: n**5, range(1, 12)), Samples)
    assert lift(lambda n: n**4, range(1, 12)).degree == 4


def test_a_single_point_confirms_nothing():
    assert isinstance(fit({64: 100}), Samples)
    assert isinstance(fit({64: 100, 65: 100}), Polynomial)


def test_samples_as_plain_data():
    samples = Samples("T", {100: Fraction(1, 3), 2: Fraction(10**30)}, "because")
    assert samples.to_dict() == {
        "variable": "T",
        "samples": {"2": str(10**30), "100": "1/3"},
        "exact": False,
        "reason": "because",
    }
    json.dumps(samples.to_dict())


def test_polynomial_as_plain_data_and_text():
    found = Polynomial("T", (Fraction(1179648), Fraction(-169869312), Fraction(36864)), valid_from=2)
    assert found.to_dict() == {
        "variable": "T",
        "coefficients": ["1179648", "-169869312", "36864"],
        "valid_from": 2,
        "exact": True,
    }
    assert str(found) == "36864·T² - 169869312·T + 1179648"


@pytest.mark.parametrize(
    ("coefficients", "text"),
    [((0,), "0"), ((0, 1), "T"), ((5, 0, 1), "T² + 5"), ((0, 0, 0, 0, 0, 3), "3·T^5"), ((0, Fraction(1, 2)), "1/2·T")],
    ids=str,
)
def test_polynomial_text(coefficients, text):
    assert str(Polynomial("T", tuple(map(Fraction, coefficients)))) == text
