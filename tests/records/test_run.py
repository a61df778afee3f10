import pytest

from seqcost.records import Reference, Run


def test_statistics_are_those_of_the_raw_times(make_run):
    run = make_run(wall_s=(0.3, 0.1, 0.2, 0.5, 0.4, 0.6))
    assert run.median_s == pytest.approx(0.35)
    assert run.min_s == 0.1
    assert run.interval_s == (0.1, 0.6)
    assert run.interval_coverage == 0.96875
    assert run.spread == pytest.approx((0.475 - 0.225) / 0.35)


def test_what_is_unknown_is_none(make_run):
    once = make_run(wall_s=(2.0,))
    assert (once.median_s, once.interval_s, once.interval_coverage, once.spread) == (2.0, None, None, None)
    never = make_run(status="timeout", reason="stopped.", wall_s=())
    assert (never.median_s, never.min_s, never.interval_s, never.spread) == (None, None, None, None)


def test_there_and_back_to_the_last_digit(make_run):
    run = make_run(wall_s=(0.1, 0.1 + 0.2, 1 / 3))
    assert Run.from_dict(run.to_dict()) == run


def test_a_run_that_is_not_ok_says_why_and_has_no_times(make_run):
    with pytest.raises(AssertionError):
        make_run(status="timeout", wall_s=())
    with pytest.raises(AssertionError):
        make_run(status="timeout", reason="stopped.")
    with pytest.raises(AssertionError):
        make_run(wall_s=())


def test_a_reference_goes_there_and_back(make_run):
    run = make_run(reference=Reference((1e-3, 2e-3), (3e-3, 1 / 3)), other_cores_before=0.25)
    assert Run.from_dict(run.to_dict()) == run
    for spoilt in (
        {"product_s": [1e-3, 1e-3]},
        {"product_s": [1e-3], "add_s": [1, 1]},
        {"product_s": [0, 1], "add_s": [1, 1]},
    ):
        with pytest.raises((ValueError, KeyError)):
            Run.from_dict(run.to_dict() | {"reference": spoilt})
