from dataclasses import replace

import pytest

from seqcost.errors import SeqcostError
from seqcost.records import Best, Reference, pool


def processes(make_run, *medians, **changes):
    """Runs of one repetition count, whose own spread is a hundredth."""
    return [make_run(wall_s=tuple(m * (1 + 0.01 * i) for i in (-2, -1, 0, 0, 1, 2)), **changes) for m in medians]


def test_the_sample_is_one_number_a_process(make_run):
    """Ten times as many repetitions of one process give it no more weight: its own interval is narrower, no more."""
    runs = processes(make_run, 1.0, 2.0, 4.0)
    assert pool(runs).interval_s == pytest.approx((0.98, 4.08))
    pooled = pool([*runs[:2], replace(runs[2], wall_s=runs[2].wall_s * 10)])
    assert (pooled.num_processes, pooled.median_s) == (3, 2.0)
    assert pooled.interval_s == pytest.approx((0.98, 4.0))
    assert pooled.interval_coverage == 0.75
    assert pooled.interval_basis == "lowest to highest of 3 processes"


def test_from_five_processes_on_the_interval_is_that_of_their_median(make_run):
    """One outlier among seven widens it no further than to the second highest."""
    pooled = pool(processes(make_run, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 90.0))
    assert (pooled.median_s, pooled.interval_basis) == (1.3, "median of 7 processes")
    assert pooled.interval_s == (1.0, 90.0)  # seven: only the whole range reaches 95 %
    nine = pool(processes(make_run, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 90.0))
    assert nine.interval_s == (1.1, 1.7)
    assert nine.interval_coverage > 0.95


def test_one_process_gives_no_interval_however_often_it_repeats(make_run):
    pooled = pool([make_run(wall_s=(1.0,) * 300)])
    assert (pooled.median_s, pooled.interval_s, pooled.interval_coverage) == (1.0, None, None)
    assert pooled.interval_basis == "one process gives no interval"


def test_a_process_of_few_repetitions_gives_its_range(make_run):
    assert pool([make_run(wall_s=(1.0, 3.0)), make_run(wall_s=(2.0,))]).interval_s == (1.0, 3.0)


def test_disturbed_processes_are_left_out_where_there_are_enough_others(make_run):
    quiet, disturbed = processes(make_run, 1.0, 1.0, 1.0), processes(make_run, 9.0, other_cores=1.9)
    assert pool([*quiet, *disturbed], 3).median_s == 1.0
    assert pool([*quiet, *disturbed], 3).num_processes == 3
    assert not pool([*quiet, *disturbed], 3).is_disturbed
    too_few = pool([*quiet, *disturbed], 4)
    assert (too_few.num_processes, too_few.is_disturbed, too_few.other_cores) == (4, True, 1.9)


def test_other_ends_are_told_and_lend_no_times(make_run):
    stopped = make_run(status="timeout", reason="stopped.", wall_s=(), peak_allocated_bytes=None)
    pooled = pool([*processes(make_run, 1.0, 2.0), stopped])
    assert (pooled.status, pooled.num_processes) == ("ok", 2)
    assert pooled.reason == "1 of 3 processes ended otherwise: stopped."
    alone = pool([replace(stopped, other_cores=1.9)])
    assert not alone.is_disturbed, "it has no times that could be too long"
    assert (alone.status, alone.median_s, alone.interval_s, alone.reason) == ("timeout", None, None, "stopped.")
    assert (alone.num_processes, alone.interval_basis) == (0, "it has no times")


def test_memory_is_that_of_the_process_that_held_the_most(make_run):
    pooled = pool([make_run(peak_resident_bytes=5000), make_run(peak_allocated_bytes=900)])
    assert (pooled.peak_resident_bytes, pooled.peak_allocated_bytes) == (5000, 1000)
    assert pooled.interval_of("peak_allocated_bytes") == (900, 1000)
    assert pool([make_run()]).interval_of("peak_allocated_bytes") == (1000, 1000), "counted, so one process tells"
    assert pool([make_run(peak_allocated_bytes=None, peak_resident_bytes=None)]).peak_allocated_bytes is None


def test_the_neighbours_share_is_that_of_the_kernel_that_lost_more(make_run):
    best = Best(product_s=1e-3, add_s=1e-3)
    references = [Reference((1e-3, 1e-3), (1e-3, x * 1e-3)) for x in (1, 2, 5)]
    pooled = pool([make_run(reference=found) for found in references])
    assert pooled.reference_ratio(best) == 1.5
    assert pooled.reference_ratio(None) is None
    assert pool([make_run()]).reference_ratio(best) is None


def test_runs_of_two_machines_are_refused_and_the_difference_named(make_run, environment):
    other = make_run(environment=replace(environment, torch_version="2.12.0"))
    with pytest.raises(SeqcostError, match=r"they differ in torch_version '2\.13\.0' and '2\.12\.0'"):
        pool([make_run(), other])


def test_runs_of_two_jobs_are_refused(make_run, make_job):
    with pytest.raises(SeqcostError, match="different jobs"):
        pool([make_run(), make_run(job=make_job(T=200))])


def test_nothing_to_pool_is_refused():
    with pytest.raises(SeqcostError, match="no run to pool"):
        pool([])


def test_a_process_strays_from_the_others_not_from_a_median_that_has_it(make_run):
    assert pool(processes(make_run, 1.0, 2.0, 4.0)).strays == pytest.approx(
        (abs(1 / 3 - 1), abs(2 / 2.5 - 1), 4 / 1.5 - 1)
    )
    assert pool(processes(make_run, 1.0, 2.0)).strays == ()
