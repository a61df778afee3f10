from dataclasses import FrozenInstanceError

import pytest

from seqcost.algebra import Kind, symbol
from seqcost.algebra.work import Direction, Kernel, Row, depth_of, flops_of, joined, traffic_of


def scores(**amounts):
    return Row(name="scores", path="attention", kernel=Kernel.BATCHED_PRODUCT, sizes=(8, 16, 4, 16), **amounts)


def test_a_row_is_immutable():
    with pytest.raises(FrozenInstanceError):
        scores().launches = 2


def test_bills_are_readings_of_rows():
    rows = [scores(contraction=16, bytes=80, steps=1), Row(name="scale", kernel=Kernel.ELEMENTWISE, pointwise=3)]
    assert [(line.name, line.amount, line.kind) for line in flops_of(rows)] == [
        ("attention.scores", 16, Kind.CONTRACTION),
        ("scale", 3, Kind.POINTWISE),
    ]
    assert [(line.name, line.amount) for line in traffic_of(rows)] == [("attention.scores", 80)]
    assert depth_of(rows).total() == 1
    assert flops_of(rows, named=lambda row: f"{row.direction}.{row.name}").lines[0].name == "forward.scores"


def test_times_multiplies_launches_and_amounts_and_leaves_the_sizes_of_one_launch():
    row = scores(contraction=16, pointwise=2, bytes=80, fresh=40, steps=1).times(12, chained=3)
    assert (row.launches, row.contraction, row.pointwise, row.bytes, row.fresh) == (12, 192, 24, 960, 480)
    assert row.steps == 3
    assert row.sizes == (8, 16, 4, 16)


def test_amounts_may_be_formulas():
    T = symbol("T")
    assert flops_of([scores(contraction=2 * T**2).times(symbol("L"))]).total() == 2 * symbol("L") * T**2


def test_under_puts_a_prefix_before_the_path():
    assert scores().under("blocks").line == "blocks.attention.scores"
    assert scores().under("") == scores()
    assert [joined("a", "b"), joined("", "b"), joined("a", "")] == ["a.b", "b", "a"]


def test_kernels_and_directions_read_as_words():
    assert str(Kernel.BATCHED_PRODUCT) == "batched product"
    assert str(Direction.BACKWARD) == "backward"
