from dataclasses import replace

import pytest

from seqcost.errors import SeqcostError
from seqcost.records import merge


def test_times_are_pooled_in_order(make_run):
    pooled = merge([make_run(wall_s=(1.0, 2.0), peak_resident_bytes=5000), make_run(wall_s=(3.0,), num_warmup=1)])
    assert pooled.wall_s == (1.0, 2.0, 3.0)
    assert pooled.num_warmup == 3
    assert pooled.peak_resident_bytes == 5000


def test_runs_of_two_machines_are_refused_and_the_difference_named(make_run, environment):
    other = make_run(environment=replace(environment, torch_version="2.12.0"))
    with pytest.raises(SeqcostError, match=r"they differ in torch_version '2\.13\.0' and '2\.12\.0'"):
        merge([make_run(), other])


def test_runs_of_two_jobs_are_refused(make_run, make_job):
    with pytest.raises(SeqcostError, match="different jobs"):
        merge([make_run(), make_run(job=make_job(T=200))])


def test_a_run_without_times_is_refused(make_run):
    with pytest.raises(SeqcostError, match="one is 'timeout': stopped"):
        merge([make_run(), make_run(status="timeout", reason="stopped.", wall_s=())])


def test_nothing_to_merge_is_refused():
    with pytest.raises(SeqcostError, match="no run to merge"):
        merge([])


def test_unknown_memory_stays_unknown(make_run):
    assert merge([make_run(peak_allocated_bytes=None, peak_resident_bytes=None)]).peak_allocated_bytes is None
