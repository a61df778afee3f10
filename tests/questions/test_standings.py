"""Measured orders and crossovers, of synthetic runs whose intervals are known."""

import math
from dataclasses import dataclass, replace

import pytest

from seqcost.questions.answers.standings import cheapest, crossovers, standings
from seqcost.records import Environment, Job, Pooled, Run, pool
from seqcost.report.measurements import about, around, crossovers_table

HERE = Environment(
    machine_id="here", cpu_model="a processor", num_cores=2, memory_bytes=2**34, gpu_models=(), os="Linux",
    python_version="3.11", torch_version="2.13", numpy_version="2.4", seqcost_version="0.1", commit=None, dirty=None,
    source_sha256="0" * 32,
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    target: str
    length: int
    run: Pooled | None


def process(name, T, seconds, peak=1000, *, other_cores=0.0):
    job = Job(target={"kind": "x", "name": name}, phase="forward", B=1, T=T)
    return Run(
        job=job, environment=HERE, status="ok", wall_s=(seconds,) * 6, peak_allocated_bytes=peak,
        other_cores=other_cores, started_at="2026-01-01T00:00:00+00:00", time_limit_s=1, memory_limit_bytes=1,
    )  # fmt: skip


def curve(name, times, spread=0.01, *, processes=3, **changes):
    """Points of one target; its processes lie evenly within the spread."""
    factors = [1 + spread * (2 * i / (processes - 1) - 1) for i in range(processes)] if processes > 1 else [1.0]
    return [Point(name, T, pool([process(name, T, t * f, **changes) for f in factors])) for T, t in times.items()]


def crossed(*curves):
    points = [point for one in curves for point in one]
    found = standings(points)
    return crossovers(points, found), {(s.one, s.other): s for s in found if s.quantity == "time"}


FLAT = {64: 1.0, 128: 1.0, 256: 1.0, 512: 1.0, 1024: 1.0}
STEEP = {T: 0.5 * (T / 64) ** 2 for T in FLAT}


def test_a_crossover_lies_between_the_lengths_at_which_the_intervals_are_apart():
    (found,), orders = crossed(curve("flat", FLAT), curve("steep", STEEP))
    assert (found.rising, found.other, found.low, found.high, found.untold) == ("steep", "flat", 64, 128, ())
    assert found.length == pytest.approx(64 * math.sqrt(2), rel=1e-3)  # 0.5·(T/64)² = 1
    # ±1 % of either: the ratio is known to 2 %, which at a slope of 2 is 1 % of the length.
    assert (found.length_low, found.length_high) == pytest.approx((90.5 * 0.99, 90.5 * 1.01), rel=2e-3)
    assert (orders["flat", "steep"].above, orders["flat", "steep"].below) == ((64,), (128, 256, 512, 1024))


def test_lengths_between_that_are_not_told_apart_are_named_and_widen_the_interval():
    close = {64: 0.5, 128: 0.99, 256: 1.01, 512: 2.0, 1024: 4.0}
    (found,), orders = crossed(curve("flat", FLAT, 0.05), curve("steep", close, 0.05))
    assert (found.low, found.high, found.untold) == (64, 512, (128, 256))
    assert 64 < found.length_low < 128 < 256 < found.length_high < 512
    assert found.length_low < found.length < found.length_high
    assert orders["flat", "steep"].why == "their intervals meet"
    assert around(vars(found)) == "interpolated between 64 and 512; not told apart at 128 and 256"
    assert about(vars(found)).startswith("T ≈ ")


def test_noise_around_one_curve_crosses_nothing():
    """Medians that cross five times within their own spread, as single runs of one pair did."""
    noisy = {T: 1 + 0.02 * (-1) ** i for i, T in enumerate(FLAT)}
    found, orders = crossed(curve("flat", FLAT, 0.05), curve("noisy", noisy, 0.05))
    assert found == []
    assert orders["flat", "noisy"].untold == tuple(FLAT)
    answer = {
        "crossovers": [], "lengths": list(FLAT), "standings": [vars(row) for row in orders.values()],
    }  # fmt: skip
    ((_, who, where, how),) = crossovers_table(answer).rows
    assert (who, where) == ("flat and noisy", "—")
    assert how == "not told apart between 64 and 1,024 tokens: their intervals meet"


@pytest.mark.parametrize("processes", [3, 7])
def test_an_outlier_of_one_process_makes_no_crossover(processes):
    """68.6 ms between 15.9 and 93.1: one process of one length was slow. It widens the interval there, no more."""
    faster = dict.fromkeys(FLAT, 0.8)
    points = curve("faster", faster, processes=processes)
    slow = points[2].run.runs[0]
    spoilt = pool([*points[2].run.runs[1:], replace(slow, wall_s=tuple(5 * t for t in slow.wall_s))])
    points[2] = replace(points[2], run=spoilt)
    found, orders = crossed(curve("flat", FLAT, processes=processes), points)
    assert found == []
    assert (orders["flat", "faster"].above, orders["flat", "faster"].untold) == ((64, 128, 512, 1024), (256,))


def test_one_process_gives_no_interval_and_so_no_crossover_in_time():
    found, orders = crossed(curve("flat", FLAT, processes=1), curve("steep", STEEP, processes=1))
    assert found == []
    assert orders["flat", "steep"].why == "one process gives no interval"
    found, _ = crossed(curve("flat", FLAT), curve("steep", STEEP, processes=1))
    assert found == []


def test_disturbed_runs_cross_nothing_in_time_but_hold_what_they_hold():
    flat = curve("flat", FLAT, other_cores=1.9, peak=1000)
    steep = [*curve("steep", {T: STEEP[T] for T in (64, 128)}, peak=500), *curve("steep", {512: 9.0}, peak=1500)]
    (found,), orders = crossed(flat, steep)
    assert (found.quantity, found.rising, found.low, found.high) == ("peak memory", "steep", 128, 512)
    assert orders["flat", "steep"].why == "others kept the machine busy"


def test_a_disturbed_length_between_lends_the_interval_nothing():
    """At 256 others made the cheap one look dear: the crossover lies where the lengths beside it have it."""
    flat = {64: 1.0, 128: 1.0, 256: 1.0, 512: 1.0}
    steep = {64: 0.5, 128: 0.7, 512: 2.0}
    points = [*curve("steep", steep), *curve("steep", {256: 50.0}, other_cores=1.9)]
    (found,), _ = crossed(curve("flat", flat), points)
    assert (found.low, found.high, found.untold) == (128, 512, (256,))
    (alone,), _ = crossed(curve("flat", flat), curve("steep", steep))
    assert (found.length, found.length_low, found.length_high) == (alone.length, alone.length_low, alone.length_high)


def test_memory_is_counted_so_one_process_tells_and_equal_peaks_cross_nothing():
    one = curve("one", {64: 1, 128: 1}, processes=1, peak=1000)
    (found,), _ = crossed(
        one, [*curve("two", {64: 1}, processes=1, peak=999), *curve("two", {128: 1}, processes=1, peak=4000)]
    )
    assert (found.quantity, found.rising) == ("peak memory", "two")
    assert crossed(one, curve("two", {64: 1, 128: 1}, processes=1, peak=1000))[0] == []


def test_two_crossings_that_are_apart_are_both_told():
    dip = {64: 2.0, 128: 0.5, 256: 0.5, 512: 0.5, 1024: 2.0}
    found, _ = crossed(curve("flat", FLAT), curve("dip", dip))
    assert [(c.rising, c.low, c.high) for c in found] == [("flat", 64, 128), ("dip", 512, 1024)]


def test_lengths_at_which_one_did_not_end_are_left_out():
    flat = curve("flat", FLAT)
    stopped = replace(
        process("flat", 64, 1.0), status="timeout", reason="stopped.", wall_s=(), peak_allocated_bytes=None
    )
    flat[0] = replace(flat[0], run=pool([stopped]))
    found, orders = crossed(flat, curve("steep", STEEP))
    assert found == []
    assert orders["flat", "steep"].below == (128, 256, 512, 1024)


def test_who_costs_least_is_told_where_it_is_apart_and_else_among_whom():
    rising = {64: 0.5, 128: 0.99, 256: 1.01, 512: 2.0, 1024: 4.0}
    points = [*curve("flat", FLAT, 0.05), *curve("steep", rising, 0.05), *curve("dear", dict.fromkeys(FLAT, 9.0))]
    found = [row for row in cheapest(points) if row.quantity == "time"]
    assert [(row.target, row.start, row.among) for row in found] == [
        ("steep", 64, ()), ("steep", 128, ("flat", "steep")), ("flat", 512, ()),
    ]  # fmt: skip
    alone = [*curve("flat", FLAT, processes=1), *curve("steep", rising, processes=1)]
    assert [row for row in cheapest(alone) if row.quantity == "time"] == []
