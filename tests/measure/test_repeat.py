import random

import pytest

from seqcost.measure import repeat as rule
from seqcost.measure.repeat import repeat


def runs_of(*times_s):
    """A run that takes these seconds in turn, then the last of them for ever."""
    left = list(times_s)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_a_steady_run_is_warmed_up_until_two_agree_and_repeated_five_times():
    assert repeat(runs_of(1.0, 0.2, 0.1, 0.1), budget_s=100) == ((0.1,) * 5, 4)


def test_a_run_that_never_settles_is_warmed_up_at_most_so_often():
    noise = random.Random(0)
    _, num_warmup = repeat(lambda: noise.choice([0.001, 0.002, 0.004]), budget_s=100)
    assert num_warmup <= rule.MAX_WARMUP


def test_a_noisy_run_is_repeated_until_its_interval_is_narrow():
    noise = random.Random(1)
    times_s, _ = repeat(lambda: 0.001 * noise.uniform(0.8, 1.2), budget_s=100)
    assert 5 < len(times_s) < rule.MAX_REPETITIONS


def test_repetitions_end_even_if_the_interval_stays_wide():
    noise = random.Random(2)
    short_s, _ = repeat(lambda: noise.uniform(1e-6, 1e-4), budget_s=100)
    assert len(short_s) == rule.MAX_REPETITIONS
    long_s, _ = repeat(lambda: noise.uniform(0.01, 0.3), budget_s=100)
    assert rule.REFINE_S <= sum(long_s) <= rule.REFINE_S + 0.3


@pytest.mark.parametrize(
    ("budget_s", "num_repetitions", "num_warmup"),
    [(100, 5, 2), (40, 3, 1), (25, 1, 1), (12, 1, 1), (9, 1, 0)],
)
def test_a_long_run_is_repeated_as_often_as_its_budget_allows(budget_s, num_repetitions, num_warmup):
    times_s, warmup = repeat(runs_of(10.0), budget_s=budget_s)
    assert (len(times_s), warmup) == (num_repetitions, num_warmup)
