"""How the base derives its answers from one program."""

from dataclasses import dataclass

import pytest

from seqcost.algebra import Bill, Kind, Size
from seqcost.errors import BadSize, UnknownName
from seqcost.formulas import Component, Workload
from seqcost.formulas.core.component import exact_div, made_of
from seqcost.formulas.core.reading import Ending


@dataclass(frozen=True, kw_only=True)
class Toy(Component):
    D: Size
    SOURCE = "made up for this test"

    def params(self):
        return Bill.of(Kind.PARAMETERS, weight=self.D**2)

    def program(self, t, x, source=None):
        return t.unary("tanh", t.linear("project", x, self.D, bias=False), "tanh")


@dataclass(frozen=True, kw_only=True)
class Two(Toy):
    H: Size
    wide: bool = False


def test_a_config_is_made_of_sizes_that_it_has():
    assert made_of(Two, {"D": 4, "H": 2}) == Two(D=4, H=2)
    with pytest.raises(BadSize, match=r"Two: D=4 was given; it needs H as well: Two\(D=…, H=…\)\."):
        made_of(Two, {"D": 4})
    with pytest.raises(UnknownName, match="unknown size of Two 'foo'"):
        made_of(Two, {"D": 4, "H": 2, "foo": 1})


RUN = Workload(B=3, T=63, itemsize=2)


def test_flops_traffic_and_depth_are_three_readings_of_one_program():
    toy, rows, D = Toy(D=100), 3 * 63, 100
    assert toy.flops(RUN).total(Kind.CONTRACTION) == 2 * rows * D * D
    assert toy.flops(RUN).total(Kind.POINTWISE) == rows * D
    assert toy.bytes_moved(RUN).total() == 2 * ((rows * D + D * D + rows * D) + 2 * rows * D)
    assert toy.depth(RUN).total() == 2
    assert [line.name for line in toy.bytes_moved(RUN)] == ["project", "tanh"]


def test_the_input_that_autograd_holds_is_a_line_of_saved_bytes_and_the_result_is_named_after_its_operator():
    assert {line.name: line.amount for line in Toy(D=100).saved_bytes(RUN)} == {
        "input": 3 * 63 * 100 * 2,
        "tanh": 3 * 63 * 100 * 2,
    }


def test_the_way_back_follows_from_the_derivatives():
    rows, D = 3 * 63, 100
    lines = {(line.name, line.kind): line.amount for line in Toy(D=D).backward_flops(RUN)}
    assert lines == {
        ("tanh_backward", Kind.POINTWISE): 3 * rows * D,
        ("project_dw", Kind.CONTRACTION): 2 * rows * D * D,
        ("project_dx", Kind.CONTRACTION): 2 * rows * D * D,
    }


def test_the_peak_counts_what_is_there_besides_and_what_is_held_at_the_worst_moment():
    weight, features = 100 * 100 * 2, 3 * 63 * 100 * 2
    assert Toy(D=100).reading(RUN, remembering=True).peak_bytes == weight + features + 2 * features
    step = Toy(D=100).reading(RUN, Ending.LOSS, remembering=True)
    # the input, the gradients of the product, of the weight and of the input, which is made last; a loss, and a 1
    assert step.peak_bytes == 2 * weight + 3 * features + 2 * 2


def test_a_step_is_one_token_after_the_earlier_ones():
    assert Workload(B=3, T=63, P=5).step() == Workload(B=3, T=1, P=67, started=True, encoded=True, stepping=True)
    assert Toy(D=100).step_flops(RUN) == Toy(D=100).flops(Workload(B=3, T=1, P=62, itemsize=2))


def test_exact_div():
    assert exact_div(64, 4, "D over H") == 16
    with pytest.raises(BadSize, match="D over H: 63 does not divide by 4; choose sizes that divide"):
        exact_div(63, 4, "D over H")
    with pytest.raises(BadSize, match="does not divide by 0"):
        exact_div(63, 0, "D over H")
