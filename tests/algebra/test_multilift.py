"""From samples in several letters to the polynomial behind them, or the letter that refuses."""

import json
from fractions import Fraction
from itertools import product

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from seqcost.algebra import symbols
from seqcost.algebra.curve import Curve
from seqcost.algebra.lift import interpolate
from seqcost.algebra.multilift import multilift, sizes_wanted
from seqcost.errors import BadSize

DEGREES = {"L": 1, "D": 2, "U": 1, "T": 2}
SIZES = {"L": (1, 2, 3, 4), "D": (32, 64, 96, 128, 160), "U": (61, 96, 129, 200), "T": (8, 17, 33, 64, 100)}
POWERS = list(product(*(range(degree + 1) for degree in DEGREES.values())))
# Costs are sums of products of sizes: no coefficient is negative, so that nothing cancels at a sample by design.
COEFFICIENTS = st.dictionaries(
    st.sampled_from(POWERS), st.integers(1, 2**70) | st.fractions(1, 99, max_denominator=12), max_size=8
)


def value(terms, sizes):
    total = Fraction(0)
    for powers, c in terms.items():
        amount = Fraction(c)
        for size, power in zip(sizes.values(), powers, strict=True):
            amount *= size**power
        total += amount
    return total


def lifted(cost, sizes=SIZES, degrees=DEGREES, **options):
    return multilift(lambda at: {"flops": cost(at)}, sizes, degrees, **options)["flops"]


@given(COEFFICIENTS)
def test_a_polynomial_is_recovered_exactly(terms):
    found = lifted(lambda at: value(terms, at))
    assert found.exact
    assert found.terms == terms
    far = {"L": 126, "D": 16384, "U": 128256, "T": 10**30}
    assert found(**far) == value(terms, far)


@given(COEFFICIENTS, st.sampled_from(list(SIZES)), st.integers(1, 2**40), st.data())
def test_a_wrong_value_at_one_size_of_a_letter_is_never_a_formula(terms, letter, error, data):
    last = SIZES[letter][: DEGREES[letter] + 2]
    bad = data.draw(st.sampled_from(last))
    found = lifted(lambda at: value(terms, at) + (error if at[letter] == bad else 0))
    assert not found.exact
    assert found.refusing == (letter,)


def test_gpt2_as_written():
    found = lifted(
        lambda n: n["L"] * (24 * n["D"] ** 2 * n["T"] + 4 * n["D"] * n["T"] ** 2) + 2 * n["D"] * n["U"] * n["T"]
    )
    assert str(found) == "4·L·D·T² + 24·L·D²·T + 2·D·U·T"
    L, D, U, T = symbols("LDUT").values()
    assert sympy.expand(found.to_sympy() - (4 * L * D * T**2 + 24 * L * D**2 * T + 2 * D * U * T)) == 0
    assert [found.degree_in(letter) for letter in "LDUT"] == [1, 2, 1, 2]
    data = json.loads(json.dumps(found.to_dict()))
    assert data["terms"][0] == {"coefficient": "4", "powers": {"L": 1, "D": 1, "T": 2}}
    assert data["ranges"]["D"] == [32, 160]


@pytest.mark.parametrize(
    ("cost", "failed"),
    [
        (lambda n: n["T"] * (n["L"] // 2), ("L",)),
        (lambda n: n["D"] ** 3, ("D",)),
        (lambda n: -(-n["T"] // 16) * n["D"], ("T",)),
        (lambda n: n["T"] * 64 * -(-n["U"] // 64), ("U",)),
        (lambda n: n["T"] ** 3 + n["D"] ** 3, ("D", "T")),
        (lambda n: min(n["T"], 80) * n["D"], ("T",)),  # only the fresh size shows it
    ],
)
def test_the_letter_that_is_no_polynomial_is_named(cost, failed):
    found = lifted(cost)
    assert not found.exact
    assert found.refusing == failed
    assert all(letter in found.reason for letter in failed)
    assert found.to_dict()["exact"] is False
    assert found.to_dict()["not_polynomial_in"] == list(failed)


def test_what_only_happens_when_two_letters_meet_is_seen_at_the_mixed_points():
    found = lifted(lambda n: n["D"] * n["T"] + (n["D"] > 96 and n["T"] > 20))
    assert not found.exact
    assert set(found.refusing) == {"D", "T"}


def test_a_further_point_must_agree():
    def window(n):
        return n["D"] * min(n["T"], 4096)

    assert lifted(window).exact
    found = lifted(window, confirm=[{"L": 12, "D": 768, "U": 50257, "T": 8192}])
    assert not found.exact
    assert found.refusing == ("T",)
    assert "T = 8192" in found.reason


def test_letters_that_never_meet_need_few_points():
    asked = []

    def costs(at):
        asked.append(tuple(at.values()))
        return {"flops": sum(at.values())}

    letters = "ABCDEFGH"
    found = multilift(costs, dict.fromkeys(letters, (1, 2, 3, 4, 5)))["flops"]
    assert found.terms == {tuple(int(i == j) for j in range(8)): 1 for i in range(8)}
    assert len(asked) == len(set(asked)) == 1 + 8 * 3 + 8 * 7 // 2 + 2


def test_quantities_are_judged_apart():
    found = multilift(lambda n: {"a": n["T"] ** 2, "b": 2 ** n["T"]}, {"T": (1, 2, 3, 4, 5)})
    assert str(found["a"]) == "T²"
    assert found["b"].refusing == ("T",)


def test_small_things():
    assert sizes_wanted(2) == 5
    assert interpolate({(0, 0): Fraction(7)}, [(1,), (2,)]) == {(0, 0): 7}
    nothing = Curve(("T",), ranges={"T": (1, 2)})
    assert (str(nothing), nothing(T=3), nothing.degree) == ("0", 0, 0)
    assert str(Curve(("D", "T"), {(0, 1): Fraction(-1), (5, 0): Fraction(1, 2)})) == "-T + 1/2·D^5"
    with pytest.raises(BadSize, match="give one of each of T"):
        nothing(D=3)
