"""A run: what its rows take together, by what, and how far that may stray."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_machine import L3, add_seconds, machine, value

from seqcost.algebra.work import Direction, Kernel, Row
from seqcost.prediction import Basis, Bound, Interval, timed
from seqcost.prediction.interval import added as sum_of
from seqcost.prediction.residence import KEPT_BYTES, MAPPED_BYTES, cold_share, faulted_bytes, touched_between

TOY = machine()
GLUE = {"plain": 1e-6, "recording": 2e-6, "backward": 3e-6}


def row(n=2**12, launches=1, direction=Direction.FORWARD, fresh=0):
    return Row(
        name="a", kernel=Kernel.ELEMENTWISE, operator="add", sizes=(n,), launches=launches, bytes=12 * n * launches,
        direction=direction, fresh=fresh * launches,
    )  # fmt: skip


def test_on_a_cpu_kernels_and_what_calls_cost_add_up():
    found = timed([row(launches=10)], TOY, "float32", training=False)
    assert found.device_s == pytest.approx(10 * add_seconds(2**12))
    assert found.host_s == pytest.approx(10 * GLUE["plain"])
    assert found.seconds.mid == pytest.approx(found.device_s + found.host_s)
    assert found.seconds.low < found.seconds.mid < found.seconds.high


def test_training_records_and_the_way_back_costs_its_own():
    found = timed([row(), row(direction=Direction.BACKWARD)], TOY, "float32", training=True)
    assert found.host_s == pytest.approx(GLUE["recording"] + GLUE["backward"])


def test_on_a_gpu_the_longer_of_device_and_host_counts():
    gpu = machine(device="gpu")
    few = timed([row(n=2**20)], gpu, "float32", training=False)
    assert few.seconds.mid == pytest.approx(few.device_s)
    slow = machine(device="gpu", host={"any": {"plain": value(1e-3, "s")}})
    many = timed([row(n=64, launches=100)], slow, "float32", training=False)
    assert many.seconds.mid == pytest.approx(0.1)


def test_bound_by_launches_where_calls_take_longer_than_kernels():
    slow = machine(host={"any": {"plain": value(1e-3, "s")}})
    assert timed([row(n=2**20)], slow, "float32", training=False).rows[0].bound is Bound.LAUNCHES
    assert timed([row(n=2**20)], TOY, "float32", training=False).rows[0].bound is Bound.MEMORY


def test_a_run_that_no_cache_holds_takes_longer():
    small = timed([row(n=2**16)], TOY, "float32", training=False, peak_bytes=2**20)
    large = timed([row(n=2**16)], TOY, "float32", training=False, peak_bytes=2**30)
    assert large.device_s == pytest.approx(add_seconds(2**16, cold=True))
    assert small.device_s == pytest.approx(add_seconds(2**16))


def test_weights_in_a_loop_over_time_stay_in_the_cache_and_those_of_layers_do_not():
    def product(launches):
        return Row(name="p", kernel=Kernel.PRODUCT, operator="mm", sizes=(1, 64, 64), launches=launches)

    moved, footprint = 100.0 * L3, 50.0 * L3
    assert touched_between(product(1000), moved, footprint, 1) == pytest.approx(moved / 1000)
    assert touched_between(product(12), moved, footprint, 12) == footprint
    assert touched_between(row(), moved, footprint, 1) == footprint


def test_the_cold_share_goes_from_none_to_all():
    shares = [cold_share(touched, TOY) for touched in (1, L3 / 4, L3, 4 * L3)]
    assert shares[0] == shares[1] == 0.0
    assert 0.0 < shares[2] < 1.0
    assert shares[3] == 1.0
    assert cold_share(1e12, machine(caches=())) == 0.0


def test_large_blocks_fault_at_every_launch_and_small_ones_as_far_as_the_heap_goes_back():
    large = row(launches=3, fresh=MAPPED_BYTES)
    assert faulted_bytes([large], None) == 3 * MAPPED_BYTES
    small = row(launches=3, fresh=2**20)
    assert faulted_bytes([small], KEPT_BYTES) == 0
    assert faulted_bytes([small], KEPT_BYTES + 5) == 5
    paged = machine(fresh=value(1e-9, "s/B"))
    found = timed([large], paged, "float32", training=False)
    assert found.pages_s == pytest.approx(3e-9 * MAPPED_BYTES)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2**24), st.integers(1, 10**6))
def test_more_work_takes_no_less(n, launches):
    def seconds(n, launches):
        return timed([row(n=n, launches=launches)], TOY, "float32", training=False).seconds.mid

    assert seconds(n + 1, launches) >= seconds(n, launches) * (1 - 1e-9)
    assert seconds(n, launches + 1) > seconds(n, launches)


def test_shares_of_what_times_rest_on_are_those_of_the_kernels():
    found = timed([row(), row(n=5000)], TOY, "float32", training=False)
    assert found.share(Basis.MEASURED) + found.share(Basis.INTERPOLATED) == pytest.approx(1.0)


def test_parts_that_err_together_stray_more_than_parts_that_err_apart():
    together = sum_of([("a", 1.0, 0.1), ("a", 1.0, 0.1)])
    apart = sum_of([("a", 1.0, 0.1), ("b", 1.0, 0.1)])
    assert together.spread == pytest.approx(0.1)
    assert apart.spread == pytest.approx(0.1 / 2**0.5)
    assert sum_of([]) == Interval(0.0, 0.0, 0.0)


def test_an_interval_holds_ninety_percent():
    found = Interval.around(1.0, 0.2)
    assert found.spread == pytest.approx(0.2)
    assert 1.0 in found
    assert found.high * 1.01 not in found
