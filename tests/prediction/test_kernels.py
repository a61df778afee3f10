"""Where the time of a launch is from: the operator's own points, its kin's, the roofline."""

from dataclasses import replace

import pytest
from toy_machine import (
    BANDWIDTH,
    FLOOR,
    L3,
    NEAR,
    PEAK,
    add_seconds,
    machine,
    product_seconds,
    recurrence,
    recurrence_seconds,
    series,
    value,
)  # fmt: skip

from seqcost.algebra.work import Kernel, Row
from seqcost.errors import BadMachine
from seqcost.prediction import Basis, Bound, Kernels
from seqcost.prediction.kernels import LEAST_STREAMED, SAME

TOY = Kernels(machine(), "float32")
AFAR = ((1.0, 100.0 * L3),)  # all operands, touched again after more than any cache holds
SLOWER = 1e-9  # a byte of a weight from the pool


def pooled():
    """Products on weights in a cache and from a pool, the same for each number of rows."""
    for pool in (0, 2**27):
        points = {
            (m, k, n): (2.0 * m * k * n, 4.0 * (m * k + k * n + m * n),
                        product_seconds(m, k, n) + 4 * k * n * SLOWER * (pool > 0))
            for m in (1, 16, 64) for k in (64, 256) for n in (64, 256)
        }  # fmt: skip
        yield series("product", "addmm", points, pool=pool)


POOLED = Kernels(machine(series=(*machine().series[:2], *pooled())), "float32")
SOFTMAX = {(16, 64): (0.0, 8.0 * 1024, 1e-2)}
POINTED = Kernels(machine(series=(*machine().series, series("softmax", "_softmax", SOFTMAX))), "float32")


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


def test_operands_from_afar_take_longer_by_their_share():
    def seconds(*shares):
        return TOY.launch(added(2**16), tuple((share, 100.0 * L3) for share in shares)).seconds

    warm, far = add_seconds(2**16), add_seconds(2**16, cold=True)
    assert seconds() == warm
    assert seconds(1.0) == pytest.approx(far)
    assert seconds(0.5) == seconds(0.25, 0.25) == pytest.approx((warm + far) / 2)
    assert TOY.launch(added(2**16), ((1.0, L3 / 4),)).seconds == warm


def extra(row, on):
    return on.launch(row, AFAR).seconds - on.launch(row).seconds


def test_what_was_not_timed_in_pools_is_slower_by_the_one_that_was_at_as_many_bytes():
    """Of its own time nothing else changes."""
    moved = 12 * 2**16
    softmax = Row(name="s", kernel=Kernel.SOFTMAX, operator="_softmax", sizes=(16, 64), bytes=moved)
    slower = add_seconds(2**16, cold=True) - add_seconds(2**16)
    assert extra(softmax, POINTED) == pytest.approx(slower)
    product = multiplied(16, 256, 256)
    assert extra(product, TOY) == pytest.approx(product.bytes * (1 / BANDWIDTH - 1 / NEAR))
    nothing_timed = Kernels(machine(series=tuple(s for s in machine().series if not s.pool)), "float32")
    assert extra(softmax, nothing_timed) == 0.0


def test_beyond_what_was_timed_in_pools_a_byte_costs_what_it_costs_at_their_edge():
    edge = add_seconds(2**20, cold=True) - add_seconds(2**20)
    assert TOY._fetched(added(2**23), [2.0**23], 0.0, AFAR) == pytest.approx(8 * edge)


def test_rows_that_share_a_weight_fetch_it_once():
    """Beyond the rows that were timed in a pool its extra seconds stay; of a larger weight they grow."""
    few, many, wide = (
        POOLED._fetched(multiplied(*sizes), list(map(float, sizes)), 0.0, AFAR)
        for sizes in ((16, 256, 256), (4096, 256, 256), (16, 256, 512))
    )
    assert few == pytest.approx(4 * 256 * 256 * SLOWER)
    assert many == pytest.approx(few)
    assert wide == pytest.approx(2 * few)


def test_a_product_has_its_own_pool_and_not_that_of_all_others():
    row = multiplied(16, 256, 256)
    assert extra(row, POOLED) == pytest.approx(4 * 256 * 256 * SLOWER)


def test_between_points_in_half_precision_a_product_moves_bytes_of_half_precision():
    """Timed at a twentieth and at a fortieth of the roofline, it is so between points as well."""
    empty = machine(peaks={"bfloat16": value(PEAK, "FLOP/s")}, series=())
    kernels = Kernels(empty, "bfloat16")

    def least(m, k, n):
        return FLOOR + kernels.roofline(2.0 * m * k * n, 2.0 * (m * k + k * n + m * n))

    slow = [
        series("product", "addmm", {
            (m, k, n): (2.0 * m * k * n, 2.0 * (m * k + k * n + m * n), times * least(m, k, n))
            for m in (1, 16) for k in (1024, 4096) for n in (1024, 4096)
        }, pool=pool, dtype="bfloat16")
        for pool, times in ((0, 20), (2**27, 40))
    ]  # fmt: skip
    halves = Kernels(replace(empty, series=tuple(slow)), "bfloat16")
    found = halves._fetched(multiplied(1, 2048, 2048), [1.0, 2048.0, 2048.0], 0.0, AFAR)
    assert found == pytest.approx(20 * least(1, 2048, 2048), rel=1e-6)


def test_a_launch_that_follows_itself_takes_a_share_of_the_start():
    """What streams over its elements is no quicker in a loop."""
    for n in (2**12, 2**20):
        once, again = (TOY.launch(added(n), again=share).seconds for share in (1.0, 0.25))
        assert once - again == pytest.approx(0.75 * add_seconds(64))
    assert TOY.launch(added(64), again=0.0).seconds == TOY.roofline(0.0, 12 * 64)


def test_a_recurrence_has_the_flops_of_all_its_gates_where_its_row_has_a_share():
    """A formula's row with the launch has the product with the state alone; a trace's has both."""
    on = Kernels(machine(series=(recurrence((64, 128)),)), "float32")
    whole = Row(name="r", kernel=Kernel.RECURRENCE, operator="mkldnn_rnn_layer", sizes=(100, 1, 96, 96),
                contraction=16 * 100 * 96**2, bytes=8 * 100 * 96)  # fmt: skip
    found, of_a_share = on.launch(whole), on.launch(replace(whole, contraction=whole.contraction // 2))
    assert of_a_share.seconds == found.seconds
    assert found.seconds == pytest.approx(recurrence_seconds(100, 96), rel=0.15)


def test_a_launch_that_moves_less_for_each_element_is_looked_up_at_fewer():
    """x + 1 reads one tensor where x + y reads two; what is broadcast is still computed with."""

    def seconds(share):
        return TOY.launch(replace(added(2**16), bytes=int(12 * 2**16 * share))).seconds

    assert seconds(1.0) == add_seconds(2**16)
    assert seconds(1.1) == seconds(1.2) == add_seconds(2**16)  # and more only where a roofline says so
    assert seconds(2 / 3) == pytest.approx(add_seconds(2**16 * 2 / 3), rel=1e-4)
    assert seconds(0.01) == seconds(LEAST_STREAMED) == pytest.approx(add_seconds(LEAST_STREAMED * 2**16))


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
