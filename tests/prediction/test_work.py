"""A run: what its rows take together, by what, and how far that may stray."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_machine import L3, add_seconds, launched_apart, machine, value

from seqcost.algebra.work import Beside, Direction, Kernel, Row
from seqcost.machines import Cache
from seqcost.prediction import Basis, Bound, Interval, timed
from seqcost.prediction.host import host_s
from seqcost.prediction.interval import added as sum_of
from seqcost.prediction.residence import (
    HELD,
    JUST_MADE,
    KEPT_TIMES,
    LEAST_KEPT_BYTES,
    LOOP,
    MAPPED_BYTES,
    MISSED,
    Touched,
    faulted_bytes,
    shares_of,
)  # fmt: skip

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


def test_a_step_back_of_a_run_that_no_cache_holds_takes_longer():
    """Half of what it reads was kept since the way there; forward an operator reads what was made just before."""

    def seconds(direction, peak_bytes):
        return timed([row(n=2**16, direction=direction)], TOY, "float32", training=True, peak_bytes=peak_bytes).device_s

    warm, far = add_seconds(2**16), add_seconds(2**16, cold=True)
    assert seconds(Direction.BACKWARD, 2**20) == pytest.approx(warm)
    assert seconds(Direction.BACKWARD, 2**30) == pytest.approx((warm + far) / 2)
    assert seconds(Direction.FORWARD, 2**30) == pytest.approx(warm)


def product(launches, direction=Direction.FORWARD):
    return Row(name="p", kernel=Kernel.PRODUCT, operator="mm", sizes=(1, 64, 64), launches=launches,
               direction=direction)  # fmt: skip


def filler(moved, direction=Direction.FORWARD):
    """Whatever else a run moves."""
    return Row(name="f", kernel=Kernel.OTHER, operator="f", sizes=(1,), bytes=moved, direction=direction)


def test_weights_come_again_after_one_pass():
    """In a loop after a step, of which the row itself is no part."""
    moved, footprint = 100 * L3, 50.0 * L3
    for launches, layers, between in ((LOOP, 1, moved / LOOP), (10, 1, moved / 10), (12, 12, footprint)):
        one = product(launches)
        assert Touched((one, filler(moved)), footprint, layers).reused(one) == ((1.0, pytest.approx(between)),)


def test_in_a_loop_what_others_of_its_layer_touch_in_a_step_lies_between():
    one = row(launches=100)
    others, back = filler(10**8), filler(10**9, Direction.BACKWARD)
    assert Touched((one, others, back), 1e12).reused(one) == ((1.0, pytest.approx(10**6)),)
    both = Touched((one, one, others), 1e12).reused(one)  # a row for each of two layers
    assert both == ((1.0, pytest.approx(10**6 / 2)),)
    assert Touched((one,), 1e12).reused(one) == ((1.0, 0.0),)
    assert Touched((one, others), 1e3).reused(one) == ((1.0, 1e3),)
    assert not Touched((one,), 1e12, layers=7).is_loop(one)


def test_what_others_read_was_just_made_and_on_the_way_back_half_of_it_long_ago():
    forward, back = row(launches=7), row(launches=7, direction=Direction.BACKWARD)
    near = JUST_MADE * 12 * 2**12
    assert Touched((forward,), 1e8).reused(forward) == ((1.0, near),)
    assert Touched((back,), 1e8).reused(back) == ((0.5, near), (0.5, 1e8))
    assert Touched((forward,), near / 4).reused(forward) == ((1.0, near / 4),)


LEVELS = machine(
    caches=tuple(Cache(name=name, size=value(size, "B")) for name, size in (("L3", L3), ("L1", 2**16), ("L2", 2**21)))
)
NEAR_POOL, FAR_POOL = 2**23, 2**27


def test_shares_go_from_none_through_the_near_pool_to_all_of_the_far_one():
    def shares(touched):
        return shares_of(touched, (FAR_POOL, NEAR_POOL), LEVELS)

    middle = (NEAR_POOL * MISSED * L3) ** 0.5
    assert shares(0) == shares(HELD * 2**21) == {}
    assert shares(NEAR_POOL) == {NEAR_POOL: pytest.approx(1.0)}
    assert shares(middle) == {NEAR_POOL: pytest.approx(0.5), FAR_POOL: pytest.approx(0.5)}
    assert shares(MISSED * L3) == shares(1e15) == {FAR_POOL: pytest.approx(1.0)}
    assert shares_of(1e12, (NEAR_POOL,), machine(caches=())) == shares_of(1e12, (), LEVELS) == {}


@settings(max_examples=200, deadline=None)
@given(
    st.floats(1, 1e12), st.floats(1, 1e12), st.lists(st.integers(2**10, 2**32), min_size=1, max_size=3, unique=True),
    st.integers(10, 30), st.integers(10, 30),
)  # fmt: skip
def test_more_bytes_touched_come_from_no_nearer(one, other, pools, inner, outer):
    sizes = (("L2", 2**inner), ("L3", 2**outer))
    on = machine(caches=tuple(Cache(name=name, size=value(size, "B")) for name, size in sizes))
    less, more = (shares_of(touched, pools, on) for touched in sorted((one, other)))
    for shares in (less, more):
        assert all(share >= 0 for share in shares.values())
        assert sum(shares.values()) <= 1 + 1e-9
    for pool in pools:  # as much at least comes from there or beyond
        assert sum(s for p, s in more.items() if p >= pool) >= sum(s for p, s in less.items() if p >= pool) - 1e-9


def test_launches_of_a_loop_take_a_share_of_the_start_and_of_the_call():
    looped = machine(again=value(0.25, "1"), inner=value(0.125, "1"))
    warm, glue = add_seconds(2**12), GLUE["plain"]

    def both(launches, beside=None, layers=1):
        found = timed([row(launches=launches)], looped, "float32", training=False, layers=layers, beside=beside)
        return pytest.approx(found.device_s / launches), pytest.approx(found.host_s / launches)

    def expected(share):
        return warm - (1 - share) * add_seconds(64), share * glue

    assert both(LOOP - 1) == (warm, glue)
    assert both(LOOP) == expected(0.25)
    assert both(4 * LOOP - 1, layers=4) == (warm, glue)
    assert both(LOOP, Beside(0, 0, 0, inner=0.4)) == expected(0.25)
    assert both(LOOP, Beside(0, 0, 0, inner=0.6)) == expected(0.125)


@pytest.mark.parametrize(
    ("direction", "training", "expected"),
    [
        (Direction.FORWARD, False, 1e-6 + 0.5 * 1e-7 + 2 * 1e-5),
        (Direction.FORWARD, True, 2e-6 + 0.5 * 2e-7 + 2 * 1e-5),
        (Direction.BACKWARD, True, 4e-6 + 3 * 4e-7),
        (Direction.OPTIMIZER, True, 2e-6 + 0.5 * 2e-7 + 2 * 1e-5),
    ],
)
def test_a_launch_a_view_and_a_call_of_a_module_cost_the_host_apart(direction, training, expected):
    beside = Beside(views_forward=0.5, views_backward=3.0, modules=2.0)
    one = row(direction=direction)
    assert host_s(launched_apart(), one, beside, training=training) == (pytest.approx(expected), pytest.approx(0.1))
    assert host_s(launched_apart(), one, None, training=training)[0] == 7e-6


def test_launches_that_nobody_calls_cost_the_host_their_modules_alone():
    inside = Beside(views_forward=0.5, views_backward=3.0, modules=0.125, inner=1.0)
    assert host_s(launched_apart(), row(), inside, training=False)[0] == pytest.approx(0.125 * 1e-5)
    half = Beside(views_forward=0.5, views_backward=3.0, modules=0.125, inner=0.5)
    assert host_s(launched_apart(), row(), half, training=False)[0] == pytest.approx(
        0.5 * (1e-6 + 0.5 * 1e-7) + 0.125 * 1e-5
    )


def test_an_operator_with_a_cost_of_its_own_keeps_it():
    host = launched_apart().host
    own = machine(host={**host, "add": {"plain": value(5e-5, "s")}})
    assert host_s(own, row(), Beside(1, 1, 1), training=False)[0] == 5e-5


def test_without_any_cost_of_calls_there_is_none():
    assert host_s(machine(host={}), row(), Beside(1, 1, 1), training=True) == (0.0, 0.0)
    assert host_s(machine(host={}, dispatch=value(3e-6, "s")), row(), None, training=True)[0] == 3e-6


def test_large_blocks_fault_at_every_launch_and_small_ones_as_far_as_the_heap_goes_back():
    large = row(launches=3, fresh=MAPPED_BYTES)
    assert faulted_bytes([large], None) == 3 * MAPPED_BYTES
    small = row(launches=3, fresh=2**20)
    assert faulted_bytes([small], LEAST_KEPT_BYTES) == 0
    assert faulted_bytes([small], LEAST_KEPT_BYTES + 5) == 5
    middle = row(launches=3, fresh=MAPPED_BYTES - 1)
    assert faulted_bytes([small, middle], KEPT_TIMES * (MAPPED_BYTES - 1) + 5) == 5
    assert faulted_bytes([small, large], 3 * MAPPED_BYTES + KEPT_TIMES * MAPPED_BYTES + 5) == 3 * MAPPED_BYTES + 5
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
