"""What lies between measured points, and what lies beyond them."""

import math
from dataclasses import replace

import pytest
from toy_machine import (
    BANDWIDTH,
    FLOOR,
    PEAK,
    add_seconds,
    machine,
    product_seconds,
    recurrence,
    recurrence_seconds,
)  # fmt: skip

from seqcost.prediction import Basis, Kernels
from seqcost.prediction.points import Points


def points_of(operator, *, cold=False):
    toy = machine()
    kernels = Kernels(toy, "float32")
    one = next(s for s in toy.series if s.operator == operator and (s.pool > 0) is cold)
    return Points(one, kernels.roofline, kernels.floor)


def asked(operator, sizes, **how):
    if operator == "add":
        return points_of("add").find(sizes, 0.0, 12.0 * sizes[0], **how)
    m, k, n = sizes
    return points_of("addmm").find(sizes, 2.0 * m * k * n, 4.0 * (m * k + k * n + m * n), **how)


def test_a_measured_point_is_returned_as_it_is():
    found = asked("add", (2**16,))
    assert (found.seconds, found.basis, found.distance) == (add_seconds(2**16), Basis.MEASURED, 0.0)
    assert asked("addmm", (16, 256, 256)).seconds == product_seconds(16, 256, 256)


@pytest.mark.parametrize("n", [100, 5000, 40_000, 700_000])
def test_along_one_axis_a_start_and_so_much_an_element_is_found_exactly(n):
    found = asked("add", (n,))
    assert found.seconds == pytest.approx(add_seconds(n), rel=1e-9)
    assert found.basis is Basis.INTERPOLATED


@pytest.mark.parametrize("sizes", [(4, 128, 128), (64, 512, 512), (100, 100, 100), (200, 300, 900)])
def test_a_kernel_of_constant_utilisation_is_found_between_its_points(sizes):
    assert asked("addmm", sizes).seconds == pytest.approx(product_seconds(*sizes), rel=0.12)


def test_beyond_the_points_the_utilisation_of_the_border_is_held_and_said_so():
    """Also where the traffic no longer fits the cache, which the roofline knows: the knee is followed."""
    for factor in (4, 64):
        found = asked("add", (factor * 2**20,))
        assert found.basis is Basis.EXTRAPOLATED
        assert found.distance == pytest.approx(math.log(factor))
        assert found.seconds == pytest.approx(12 * factor * 2**20 / BANDWIDTH, rel=0.2)


def test_a_point_that_is_left_out_is_predicted_by_the_others():
    place = (2**6, 2**12, 2**16, 2**20).index(2**12)
    found = asked("add", (2**12,), leaving_out=place)
    assert found.basis is Basis.INTERPOLATED
    assert found.seconds == pytest.approx(add_seconds(2**12), rel=1e-9)


def test_utilisation_is_smooth_down_to_launches_of_nothing():
    assert asked("addmm", (1, 64, 64)).seconds == pytest.approx(FLOOR, rel=0.2)
    assert 2 * 256 * 1024 * 1024 / asked("addmm", (256, 1024, 1024)).seconds < PEAK


def stepped(sizes, *, widths=(64,), numbers=(1, 16, 64, 256), **how):
    kernels = Kernels(machine(), "float32")
    points = Points(recurrence(widths, numbers), kernels.roofline, kernels.floor)
    T, _, width, _ = sizes
    return points.find(sizes, 16.0 * T * width**2, 8.0 * T * width, **how)


@pytest.mark.parametrize("T", [2, 17, 100, 257, 4096, 10**6])
def test_a_fused_recurrence_is_a_start_and_so_much_a_step_also_beyond_the_last(T):
    found = stepped((T, 1, 64, 64))
    assert found.seconds == pytest.approx(recurrence_seconds(T), rel=1e-6)
    assert found.basis is (Basis.EXTRAPOLATED if T > 256 else Basis.INTERPOLATED)


@pytest.mark.parametrize("place", range(1, 4))
def test_a_number_of_steps_that_is_left_out_is_on_the_line_of_the_others(place):
    T = (1, 16, 64, 256)[place]
    assert stepped((T, 1, 64, 64), leaving_out=place).seconds == pytest.approx(recurrence_seconds(T), rel=1e-6)


@pytest.mark.parametrize("T", [3, 100, 2000])
@pytest.mark.parametrize("width", [64, 100, 200])
def test_between_widths_each_number_of_steps_is_blended_and_then_the_line(T, width):
    found = stepped((T, 1, width, width), widths=(32, 64, 128, 256))
    assert found.seconds == pytest.approx(recurrence_seconds(T, width), rel=0.15)


def test_more_steps_than_were_timed_take_no_less():
    """Also where noise made the longest the quicker."""
    kernels = Kernels(machine(), "float32")
    one = replace(recurrence(), seconds=(9e-5, 9e-5, 9e-5, 8e-5), low=(1e-5,) * 4, high=(1e-3,) * 4)
    points = Points(one, kernels.roofline, kernels.floor)
    times = [points.find((T, 1, 64, 64), 16.0 * T * 64**2, 8.0 * T * 64).seconds for T in (256, 300, 10**4)]
    assert times == pytest.approx([8e-5] * 3)


def test_one_number_of_steps_alone_gives_its_utilisation():
    """As any other kernel's: there is no line through one point."""
    found = stepped((64, 1, 64, 64), numbers=(16,))
    assert found.basis is Basis.EXTRAPOLATED
    assert recurrence_seconds(16) < found.seconds < 4 * recurrence_seconds(16)
