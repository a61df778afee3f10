"""One reading of a formula for ints, sweeps and symbols."""

from fractions import Fraction

import numpy as np
import pytest
import strategies
import sympy
from hypothesis import given
from hypothesis import strategies as st

from seqcost.algebra import Bill, Kind, Line, ceil_div, maximum, minimum, sweep, symbol, symbols, where
from seqcost.algebra.expr import ceil_log2, check_size, halve, is_array, is_symbolic
from seqcost.errors import BadSize

POINTS = st.lists(st.fixed_dictionaries(dict.fromkeys("BTD", strategies.HUGE)), min_size=1, max_size=4)
MODEST = st.lists(st.fixed_dictionaries({z: st.integers(1, 2**10) for z in "BTD"}), min_size=1, max_size=4)


def columns(points, *, exact):
    return {z: sweep([point[z] for point in points], exact=exact) for z in "BTD"}


@given(strategies.formulas(), POINTS)
def test_object_sweep_equals_ints_at_any_size(formula, points):
    _, read = formula
    swept = np.broadcast_to(np.asarray(read(columns(points, exact=True)), dtype=object), len(points))
    assert swept.tolist() == [read(point) for point in points]
    assert all(type(value) is int for value in swept.tolist())


@given(strategies.formulas(), POINTS)
def test_symbols_substituted_equal_ints_at_any_size(formula, points):
    _, read = formula
    symbolic = sympy.sympify(read(symbols("BTD")))
    for point in points:
        assert int(symbolic.subs({symbol(z): value for z, value in point.items()})) == read(point)


@given(strategies.formulas(minus=False), MODEST)
def test_float_sweep_is_within_one_part_in_10_to_12(formula, points):
    _, read = formula
    swept = np.broadcast_to(np.asarray(read(columns(points, exact=False)), dtype=np.float64), len(points))
    for value, point in zip(swept.tolist(), points, strict=True):
        assert value == pytest.approx(read(point), rel=1e-12)


def test_exact_sweep_crosses_2_to_63_where_int64_wraps():
    T = 2**20

    def cost(size):
        return 14 * size**3

    assert cost(np.array([T]))[0] < 0  # the trap: no warning, no error
    assert cost(sweep([T], exact=True))[0] == cost(T) > 2**63
    assert cost(sweep([T]))[0] == float(cost(T))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_])
def test_integer_arrays_are_refused_with_a_way_out(dtype):
    with pytest.raises(BadSize, match=rf"an array of {np.dtype(dtype)} was given .* make it with seqcost\.sweep"):
        Bill([Line("scores", np.ones(3, dtype=dtype), Kind.CONTRACTION)])


@pytest.mark.parametrize("size", [1.5, True, False, np.int64(3), "12", None, float("nan")], ids=repr)
def test_what_is_no_size_is_refused_in_a_sentence(size):
    with pytest.raises(BadSize, match=r"was given as a size; a whole number, a sweep of them or a SymPy symbol is"):
        check_size(size)


@pytest.mark.parametrize("size", [0, -3, 10**30, sympy.Rational(1, 2), symbol("T"), sweep([1, 2])], ids=repr)
def test_sizes_pass(size):
    assert check_size(size) is size


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [(0, 7, 0), (1, 7, 1), (7, 7, 1), (8, 7, 2), (-8, 7, -1), (10**30 + 1, 10**15, 10**15 + 1)],
)
def test_ceil_div_rounds_up_in_every_reading(a, b, expected):
    assert ceil_div(a, b) == expected
    assert ceil_div(sweep([a], exact=True), b).tolist() == [expected]
    assert ceil_div(symbol("T"), b).subs(symbol("T"), a) == expected


@pytest.mark.parametrize("b", [symbol("C"), symbol("C") * symbol("J")], ids=str)
def test_one_piece_is_an_int_whatever_the_letters_are(b):
    for count in (ceil_div(1, b), ceil_div(b, b)):
        assert type(count) is int
        assert count == 1


def test_minimum_and_maximum_take_one_side_of_each_point():
    lengths = sweep([1, 63, 100], exact=True)
    assert maximum(lengths, 63).tolist() == [63, 63, 100]
    assert minimum(lengths, 63).tolist() == [1, 63, 63]
    assert maximum(symbol("T"), 63).subs(symbol("T"), 100) == 100
    assert (maximum(3, 10**30), minimum(3, 10**30)) == (10**30, 3)


def test_where_of_a_sweep_between_two_numbers_stays_exact():
    chosen = where(sweep([1, 2], exact=True) > 1, 3 * 2**61, 1)
    assert chosen.dtype == object
    assert (chosen * 4).tolist() == [4, 12 * 2**61]
    check_size(chosen)  # an int64 array would be refused


def test_where_of_a_relation_is_a_formula():
    T = symbol("T")
    assert [where(T > 1, T**2, 0).subs(T, n) for n in (1, 63)] == [0, 3969]
    assert [where(n > 1, n**2, 0) for n in (1, 63)] == [0, 3969]


def test_halve_is_exact_for_ints_of_any_size_and_refuses_odd_ones():
    n = 10**20
    assert halve(n * (n + 1)) == n * (n + 1) // 2
    assert halve(sweep([n * (n + 1)], exact=True)).tolist() == [n * (n + 1) // 2]
    assert halve(sweep([6])).tolist() == [3.0]
    with pytest.raises(AssertionError, match="7 is odd"):
        halve(7)


def test_symbols_are_positive_integers_and_known_as_symbols():
    letters = symbols("BT")
    assert letters["B"].is_positive
    assert letters["B"].is_integer
    assert is_symbolic(letters["T"] * 2)
    assert not is_symbolic(2)
    assert is_array(sweep([1]))
    assert not is_array([1])


def test_sweep_takes_lists_ranges_and_integer_arrays():
    assert sweep(range(3)).tolist() == [0.0, 1.0, 2.0]
    assert sweep(np.arange(3)).dtype == np.float64
    assert sweep([2**80], exact=True).tolist() == [2**80]
    assert sweep(np.arange(3), exact=True).tolist() == [0, 1, 2]


@pytest.mark.parametrize("T", [1, 2, 3, 4, 5, 1000, 1024, 1025, 2**50, 2**50 + 1])
def test_levels_of_a_tree_in_every_reading(T):
    levels = ceil_log2(T)
    assert 2**levels >= T > 2**levels / 2
    assert ceil_log2(symbol("T")).subs(symbol("T"), T) == levels
    exact = ceil_log2(sweep([T, 7], exact=True))
    assert exact.tolist() == [levels, 3]
    assert type(exact[0]) is int
    assert ceil_log2(sweep([T, 7])).tolist() == [levels, 3]
    assert ceil_log2(Fraction(2 * T - 1, 2)) == levels
