"""Operators: the unit in which formulas are written."""

import pytest

from seqcost.algebra import Bill, Kind
from seqcost.formulas.core.operator import (
    Operator,
    copy,
    elementwise,
    joined,
    linear,
    linear_backward,
    matmul,
    under,
)


def test_matmul_is_two_flops_for_each_product():
    op = matmul("scores", 3, 63, 8, 100)
    assert op.contraction == 2 * 3 * 63 * 8 * 100
    assert (op.reads, op.writes) == (3 * (63 * 8 + 8 * 100), 3 * 63 * 100)


@pytest.mark.parametrize("bias", [True, False], ids=["biased", "unbiased"])
def test_linear_counts_its_bias_as_pointwise(bias):
    op = linear("up", 63, 16, 100, bias=bias)
    assert (op.contraction, op.pointwise) == (2 * 63 * 16 * 100, 63 * 100 * bias)
    assert (op.reads, op.writes) == (63 * 16 + 16 * 100 + 100 * bias, 63 * 100)


def test_backward_of_linear_is_twice_its_forward():
    backward = list(linear_backward("up", 63, 16, 100, bias=True))
    assert sum(op.contraction for op in backward) == 2 * linear("up", 63, 16, 100, bias=True).contraction
    assert [op.name for op in backward] == ["up_dx", "up_dw", "up_db"]
    without = linear_backward("up", 63, 16, 100, bias=False, needs_input=False)
    assert [op.name for op in without] == ["up_dw"]


def test_repeated_multiplies_costs_and_chains_steps():
    op = Operator(name="cell", contraction=2, pointwise=3, reads=5, writes=7, other_bytes=11)
    many = op.repeated(63, chained=62)
    assert (many.contraction, many.pointwise, many.moved_bytes(4)) == (126, 189, 63 * (4 * 12 + 11))
    assert (many.steps, op.repeated(63).steps, op.beside().repeated(63).steps) == (62, 63, 0)


def test_moving_bytes_costs_no_flop():
    op = copy("cache", 100)
    assert (op.contraction, op.pointwise, op.moved_bytes(2)) == (0, 0, 400)
    assert elementwise("sum", 100, 1, operands=2).moved_bytes(4) == 1200


def test_names_move_below_a_prefix_and_an_empty_one_changes_nothing():
    assert [op.name for op in under("blocks", [copy("cache", 1)])] == ["blocks.cache"]
    assert (joined("", "cache"), joined("blocks", "cache")) == ("cache", "blocks.cache")
    assert Bill.of(Kind.STATE, keys=1).under("a").lines[0].name == "a.keys"
