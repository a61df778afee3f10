import math
import random

import pytest

from seqcost.records import median_interval
from seqcost.records.statistics import quantile


@pytest.mark.parametrize(
    ("n", "low", "high", "coverage"),
    [
        (5, 1, 5, 0.9375),  # 1 - 2/32: the whole range, short of 95 % and said so
        (6, 1, 6, 0.96875),  # 1 - 2/64
        (8, 1, 8, 1 - 2 / 256),  # the next pair would cover 1 - 18/256 = 0.930
        (9, 2, 8, 1 - 20 / 512),
        (20, 6, 15, 0.9586105),  # the usual table of order statistics
        (100, 40, 61, 0.9647998),
    ],
)
def test_ranks_and_coverage_by_hand(n, low, high, coverage):
    values = list(range(1, n + 1))
    random.Random(0).shuffle(values)
    interval = median_interval(values)
    assert (interval.low, interval.high) == (low, high)
    assert interval.coverage == pytest.approx(coverage, abs=1e-6)


@pytest.mark.parametrize("n", range(5))
def test_too_few_values_have_no_interval(n):
    assert median_interval([1.0] * n) is None


@pytest.mark.parametrize("n", [5, 6, 9, 23, 60])
def test_real_coverage_is_the_stated_one_for_a_skewed_distribution(n):
    draw = random.Random(n)
    num_samples, median = 4000, math.log(2)  # of the exponential distribution
    intervals = [median_interval([draw.expovariate(1) for _ in range(n)]) for _ in range(num_samples)]
    share = sum(interval.low <= median <= interval.high for interval in intervals) / num_samples
    stated = intervals[0].coverage
    assert share == pytest.approx(stated, abs=4 * math.sqrt(stated * (1 - stated) / num_samples))


@pytest.mark.parametrize(("share", "value"), [(0, 1.0), (0.5, 3.0), (0.9, 4.6), (1, 5.0)])
def test_quantiles_lie_on_straight_lines_between_the_values(share, value):
    assert quantile([5.0, 1.0, 3.0, 2.0, 4.0], share) == pytest.approx(value)
    assert quantile([7.0], share) == 7.0
