"""A curve is one formula however it is read: as a number, over a sweep, as text, LaTeX, a tree, SymPy, plain data."""

import json
from fractions import Fraction
from math import prod

import numpy as np
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from seqcost.algebra import sweep, symbol
from seqcost.algebra.curve import Curve
from seqcost.errors import BadSize

IN_BLOCKS = Curve(("T",), {(2, 0): Fraction(3), (0, 1): Fraction(-5), (1, 1): Fraction(1)}, (64,))
IN_LETTERS = Curve(
    ("L", "D", "T"),
    {(1, 1, 2): Fraction(4), (1, 2, 1): Fraction(24), (0, 0, 0): Fraction(-1, 3)},
    ranges={"L": (1, 4), "D": (32, 160), "T": (8, 100)},
)
SEEN = Curve.samples({100: Fraction(1, 3), 2: 10**30}, "because")
REFUSED = Curve(("D", "T"), refusing=("D",), reason="not a polynomial in D")
ALL = [Curve.polynomial((1179648, -169869312, 36864), valid_from=2), IN_BLOCKS, IN_LETTERS, SEEN, REFUSED]

coefficients = st.integers(-(2**80), 2**80).map(Fraction) | st.fractions(-99, 99, max_denominator=12)
curves = st.builds(
    lambda terms, blocks: Curve(("T",), {p[: 1 + len(blocks)]: c for p, c in terms.items() if c}, blocks),
    st.dictionaries(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 2)), coefficients, max_size=5),
    st.lists(st.integers(2, 4096), unique=True, max_size=2).map(lambda found: tuple(sorted(found))),
)


def by_hand(curve, T):
    sizes = [T, *(-(-T // c) for c in curve.blocks)]
    return sum((c * prod(map(pow, sizes, powers)) for powers, c in curve.terms.items()), Fraction(0))


def of_tree(tree, sizes):
    """What another language would do with the tree."""
    if not isinstance(tree, list):
        return sizes.get(tree, tree) if isinstance(tree, str) else Fraction(tree)
    sign, *parts = tree
    values = [of_tree(part, sizes) for part in parts]
    return {
        "+": lambda: sum(values, Fraction(0)),
        "*": lambda: prod(values),
        "/": lambda: Fraction(values[0]) / values[1],
        "^": lambda: values[0] ** int(values[1]),
        "ceil": lambda: -(-values[0] // 1),
    }[sign]()


@given(curves, st.integers(1, 2**40))
def test_every_reading_gives_one_number(curve, T):
    expected = by_hand(curve, T)
    assert curve(T) == curve(T=T) == expected
    assert of_tree(json.loads(json.dumps(curve.to_tree())), {"T": Fraction(T)}) == expected
    assert curve.to_sympy().subs(symbol("T"), T) == sympy.Rational(expected.numerator, expected.denominator)
    assert Curve.from_dict(json.loads(json.dumps(curve.to_dict())))(T) == expected


@given(curves, st.lists(st.integers(1, 2**40), min_size=1, max_size=6))
def test_a_sweep_is_exact_where_ints_fit_and_a_float_beyond(curve, lengths):
    expected = [by_hand(curve, T) for T in lengths]
    for given_ in (sweep(lengths), sweep(lengths, exact=True), np.array(lengths)):
        found = curve(given_)
        if all(value.denominator == 1 and abs(value) < 2**63 for value in expected):
            assert found.dtype == np.int64
            assert found.tolist() == expected
        else:
            assert found.dtype == np.float64
            assert found.tolist() == [float(value) for value in expected]


def test_a_sweep_of_one_letter_among_several_keeps_its_shape():
    T = np.array([[8, 16], [32, 64]])
    found = IN_LETTERS(L=2, D=96, T=T)
    assert found.shape == (2, 2)
    assert found[1, 1] == pytest.approx(float(IN_LETTERS(L=2, D=96, T=64)))


def test_a_sweep_never_wraps():
    square = Curve.polynomial((0, 0, 3 * 10**20))
    assert square(np.array([2**20])).tolist() == [3e20 * 2.0**40]
    assert Curve.polynomial((0, 10**300, 10**300))(np.array([10**9])).tolist() == [float("inf")]


@pytest.mark.parametrize("curve", ALL, ids=str)
def test_plain_data_can_be_read_back(curve):
    assert Curve.from_dict(json.loads(json.dumps(curve.to_dict()))) == curve


def test_the_keys_of_plain_data():
    assert ALL[0].to_dict() == {
        "variable": "T",
        "coefficients": ["1179648", "-169869312", "36864"],
        "valid_from": 2,
        "exact": True,
    }
    assert SEEN.to_dict() == {
        "variable": "T",
        "samples": {"2": str(10**30), "100": "1/3"},
        "exact": False,
        "reason": "because",
    }
    assert REFUSED.to_dict() == {
        "letters": ["D", "T"],
        "not_polynomial_in": ["D"],
        "exact": False,
        "reason": "not a polynomial in D",
    }


@pytest.mark.parametrize(
    ("curve", "text", "latex"),
    [
        (ALL[0], "36864·T² - 169869312·T + 1179648", r"36864\,T^{2} - 169869312\,T + 1179648"),
        (IN_BLOCKS, "3·T² + T·⌈T/64⌉ - 5·⌈T/64⌉", r"3\,T^{2} + T\,\lceil T/64 \rceil - 5\,\lceil T/64 \rceil"),
        (IN_LETTERS, "4·L·D·T² + 24·L·D²·T - 1/3", r"4\,L\,D\,T^{2} + 24\,L\,D^{2}\,T - \frac{1}{3}"),
        (SEEN, "because", r"\text{because}"),
        (Curve.polynomial((0,)), "0", "0"),
        (Curve.polynomial((0, 1)), "T", "T"),
        (Curve.polynomial((0, -1)), "-T", "-T"),
        (Curve.polynomial((-1,)), "-1", "-1"),
        (Curve.polynomial((5, 0, 1)), "T² + 5", "T^{2} + 5"),
        (Curve.polynomial((0, 0, 0, 0, 0, 3)), "3·T^5", "3\\,T^{5}"),
        (Curve.polynomial((0, Fraction(1, 2))), "1/2·T", r"\frac{1}{2}\,T"),
    ],
)
def test_text_and_latex(curve, text, latex):
    assert str(curve) == text
    assert curve.to_latex() == latex


def test_the_tree():
    assert IN_BLOCKS.to_tree() == [
        "+", ["*", 3, ["^", "T", 2]], ["*", 1, "T", ["ceil", ["/", "T", 64]]], ["*", -5, ["ceil", ["/", "T", 64]]],
    ]  # fmt: skip


@given(curves, curves, st.integers(1, 2**40))
def test_a_difference_is_that_of_the_values(a, b, T):
    assert (a - b)(T) == a(T) - b(T)


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: SEEN(3), "without a formula"),
        (lambda: SEEN.to_tree(), "without a formula"),
        (lambda: IN_LETTERS(3), "give one of each of L, D, T"),
        (lambda: IN_BLOCKS.coefficients, "only a polynomial in one letter"),
        (lambda: IN_BLOCKS(np.array([1.5])), "whole numbers are allowed"),
    ],
    ids=["value", "tree", "letters", "coefficients", "sweep"],
)
def test_what_cannot_be_said_is_refused_in_a_sentence(ask, words):
    with pytest.raises(BadSize, match=words):
        ask()
