"""Where the time of a launch is from: the operator's own points, its kin's, the roofline."""

from dataclasses import replace

import pytest
from toy_machine import BANDWIDTH, FLOOR, L3, NEAR, PEAK, add_seconds, machine, product_seconds

from seqcost.algebra.work import Kernel, Row
from seqcost.errors import BadMachine
from seqcost.prediction import Basis, Bound, Kernels
from seqcost.prediction.kernels import SAME

TOY = Kernels(machine(), "float32")


def added(n, launches=1, operator="add"):
    return Row(
        name="a", kernel=Kernel.ELEMENTWISE, operator=operator, sizes=(n,), launches=launches, bytes=12 * n * launches
    )


def multiplied(m, k, n, operator="addmm"):
    return Row(
        name="p", kernel=Kernel.PRODUCT, operator=operator, sizes=(m, k, n), contraction=2 * m * k * n,
        bytes=4 * (m * k + k * n + m * n),
    )  # fmt: skip


def test_its_own_points_first_whatever_the_number_of_launches():
    one, many = TOY.launch(added(2**12)), TOY.launch(added(2**12, launches=7))
    assert one.seconds == many.seconds == add_seconds(2**12)
    assert one.basis is Basis.MEASURED


def test_the_same_kernel_by_another_name_is_no_prior():
    found = TOY.launch(multiplied(16, 256, 256, operator="mm"))
    assert found.seconds == product_seconds(16, 256, 256)
    assert found.basis is Basis.MEASURED


def test_kin_is_a_prior_with_a_wider_spread():
    own, kin = TOY.launch(added(2**12)), TOY.launch(added(2**12, operator="erfinv"))
    assert kin.basis is Basis.PRIOR
    assert kin.spread > 3 * own.spread
    assert "as add" in kin.series


def test_the_roofline_is_the_last_resort_and_the_widest():
    row = Row(name="f", kernel=Kernel.FFT, operator="_fft_r2c", sizes=(8, 64), contraction=10**9, bytes=10**6)
    found = TOY.launch(row)
    assert found.basis is Basis.PRIOR
    assert found.seconds > 10**9 / PEAK
    assert found.spread > TOY.launch(added(2**12, operator="erfinv")).spread


def test_cold_operands_take_longer_by_their_share():
    warm, half, cold = (TOY.launch(added(2**16), share).seconds for share in (0.0, 0.5, 1.0))
    assert cold == pytest.approx(add_seconds(2**16, cold=True))
    assert half == pytest.approx((warm + cold) / 2)


def test_nothing_is_quicker_than_the_roofline():
    for row in (added(2**24), multiplied(4096, 4096, 4096), multiplied(1, 8192, 8192)):
        assert TOY.launch(row).seconds >= TOY.roofline(float(row.contraction), float(row.bytes))


@pytest.mark.parametrize(
    ("row", "bound"),
    [(added(64), Bound.LAUNCHES), (added(2**24), Bound.MEMORY), (multiplied(1024, 1024, 1024), Bound.COMPUTE)],
)
def test_what_bounds_a_launch(row, bound):
    assert TOY.launch(row).bound is bound


def test_traffic_that_a_cache_holds_is_bounded_by_the_cache():
    assert TOY.roofline(0.0, L3) == pytest.approx(L3 / NEAR)
    assert TOY.roofline(0.0, L3 + 1) == pytest.approx((L3 + 1) / BANDWIDTH)


def test_a_format_without_a_peak_is_refused_with_those_that_there_are():
    with pytest.raises(BadMachine, match=r"toy has no peak for bfloat16; its profile knows float32: choose"):
        Kernels(machine(), "bfloat16").launch(added(64))
    with pytest.raises(BadMachine, match=r"toy has no bandwidth of its memory; add it"):
        Kernels(machine(bandwidth=None), "float32").launch(added(64))


def test_a_launch_on_a_profile_without_points_has_the_floor_below_it():
    bare = Kernels(replace(machine(), series=()), "float32")
    assert bare.launch(added(1)).seconds == pytest.approx(FLOOR, rel=0.01)


def test_no_operator_stands_for_itself():
    assert not [name for name, others in SAME.items() if name in others]
