"""Laws of the Bill."""

import dataclasses
import itertools
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqcost.algebra import Bill, Kind, Line, sweep, symbols
from seqcost.errors import BadSize, UnknownName

FLOPS = (Kind.CONTRACTION, Kind.POINTWISE)
NAMES = st.sampled_from(("scores", "attention", "attention.scores", "attention.norm.gain", "attention_norm", "head"))
AMOUNTS = st.integers(-(2**70), 2**70)
LINES = st.builds(Line, NAMES, AMOUNTS, st.sampled_from(FLOPS), st.sampled_from(("", "q kᵀ")))
BILLS = st.lists(LINES, max_size=6).map(Bill)


def amounts(bill):
    return {(line.name, line.kind): line.amount for line in bill}


@given(BILLS, BILLS, BILLS)
def test_adding_is_associative_and_keeps_the_total(a, b, c):
    assert (a + b) + c == a + (b + c)
    assert (a + b).total(*Kind) == a.total(*Kind) + b.total(*Kind)
    assert amounts(a + b) == amounts(b + a)  # the order of the lines is that of first appearance
    assert a + Bill() == a == Bill() + a


@given(BILLS, st.integers(-(2**40), 2**40), st.integers(0, 2**40))
def test_scaling_distributes(bill, factor, other):
    assert (bill * factor).total(*Kind) == factor * bill.total(*Kind)
    assert bill * (factor + other) == bill * factor + bill * other
    assert factor * bill == bill * factor


@given(BILLS)
def test_prefixes_change_names_only(bill):
    moved = bill.under("blocks")
    assert [line.name for line in moved] == [f"blocks.{line.name}" for line in bill]
    assert moved.total(*Kind) == bill.total(*Kind)
    assert not bill or moved.select("blocks") == moved


@given(BILLS, st.integers(1, 3))
def test_grouping_keeps_the_total_of_each_kind(bill, depth):
    grouped = bill.group(depth)
    assert all(line.name.count(".") < depth for line in grouped)
    assert [grouped.total(kind) for kind in FLOPS] == [bill.total(kind) for kind in FLOPS]
    assert grouped.group(depth) == grouped


@given(BILLS)
def test_kinds_partition_a_bill(bill):
    assert bill.only(Kind.CONTRACTION).total(*Kind) + bill.only(Kind.POINTWISE).total(*Kind) == bill.total(*Kind)
    assert bill.total(*FLOPS) == bill.total(*Kind)


@given(BILLS)
def test_ranked_falls_and_loses_nothing(bill):
    ranked = bill.ranked()
    assert sorted(ranked, key=str) == sorted(bill, key=str)
    assert all(a.amount >= b.amount for a, b in itertools.pairwise(ranked))


@given(st.lists(st.tuples(NAMES, AMOUNTS), max_size=6), st.integers(1, 2**70))
def test_substituting_is_exact_at_any_size(pairs, length):
    T = symbols("T")["T"]
    bill = Bill(Line(name, amount * T**2 + T, Kind.CONTRACTION) for name, amount in pairs)
    substituted = bill.substitute(T=length)
    assert all(type(line.amount) is int for line in substituted)
    assert substituted.total(*Kind) == sum(amount * length**2 + length for _, amount in pairs)


def test_lines_of_one_name_and_kind_merge_in_place():
    bill = Bill(
        [
            Line("scores", 2, Kind.CONTRACTION, "q kᵀ"),
            Line("scores", 3, Kind.POINTWISE),
            Line("head", 5, Kind.CONTRACTION),
            Line("scores", 7, Kind.CONTRACTION, "again"),
        ]
    )
    assert bill.lines == (
        Line("scores", 9, Kind.CONTRACTION, "q kᵀ"),
        Line("scores", 3, Kind.POINTWISE),
        Line("head", 5, Kind.CONTRACTION),
    )


def test_different_units_do_not_add():
    with pytest.raises(AssertionError, match=r"one bill, one unit; got \['FLOP', 'byte'\]"):
        Bill.of(Kind.CONTRACTION, scores=1) + Bill.of(Kind.STATE, keys=1)


def test_kinds_of_one_unit_do_add():
    assert (Bill.of(Kind.CONTRACTION, scores=1) + Bill.of(Kind.POINTWISE, softmax=1)).unit == "FLOP"


def test_select_takes_a_name_and_what_is_below_it():
    bill = Bill.of(
        Kind.CONTRACTION, **{"attention": 1, "attention.scores": 2, "attention_norm": 4, "head.attention": 8}
    )
    assert bill.select("attention").total(*Kind) == 3
    with pytest.raises(UnknownName, match=r"unknown line 'attentoin': did you mean attention"):
        bill.select("attentoin")


def test_a_bill_does_not_change():
    bill = Bill.of(Kind.STATE, keys=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        bill.lines = ()
    assert bill.map(lambda amount: amount + 1) == Bill.of(Kind.STATE, keys=2)
    assert bill == Bill.of(Kind.STATE, keys=1)


def test_an_empty_bill_is_nothing():
    assert (len(Bill()), Bill().total(), Bill().unit, list(Bill())) == (0, 0, "", [])


def test_amounts_take_a_note():
    (line,) = Bill.of(Kind.STATE, keys=(12, "k of every token"))
    assert line == Line("keys", 12, Kind.STATE, "k of every token")


def test_substitute_leaves_other_letters_and_keeps_fractions():
    B, T = symbols("BT").values()
    bill = Bill.of(Kind.CONTRACTION, scores=B * T**2 / 2, fixed=7)
    assert bill.substitute(T=3) == Bill.of(Kind.CONTRACTION, scores=9 * B / 2, fixed=7)
    assert bill.substitute(T=3, B=1).total(*Kind) == Fraction(23, 2)
    assert bill.substitute(T=2, B=10**30).lines[0].amount == 2 * 10**30


def test_ranked_at_sizes_depends_on_them():
    D, T = symbols("DT").values()
    bill = Bill.of(Kind.CONTRACTION, project=8 * D**2 * T, scores=4 * D * T**2)
    assert [line.name for line in bill.ranked(D=64, T=63)] == ["project", "scores"]
    assert [line.name for line in bill.ranked(D=64, T=1000)] == ["scores", "project"]


@pytest.mark.parametrize("factor", [1.5, True, "2"], ids=repr)
def test_a_factor_is_a_size(factor):
    with pytest.raises(BadSize, match="was given as a size"):
        Bill.of(Kind.STATE, keys=1) * factor


def test_a_sweep_is_a_bill_of_arrays():
    bill = Bill.of(Kind.CONTRACTION, scores=sweep([1, 2]), head=3)
    assert bill.total(*Kind).tolist() == [4.0, 5.0]


def test_a_total_of_two_kinds_is_given_only_where_both_are_named():
    bill = Bill.of(Kind.CONTRACTION, scores=512) + Bill.of(Kind.POINTWISE, softmax=80)
    assert (bill.total(Kind.CONTRACTION), bill.total(Kind.POINTWISE), bill.total(*Kind)) == (512, 80, 592)
    for asked in (bill.total, lambda: bill.leading("T")):
        with pytest.raises(BadSize, match=r"contraction and pointwise lines was asked, which are not added; name one"):
            asked()
