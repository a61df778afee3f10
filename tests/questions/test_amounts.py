"""Amounts of memory and time as people write them."""

import pytest

from seqcost.errors import BadSize
from seqcost.questions.asked.amounts import bytes_in, seconds_in


@pytest.mark.parametrize(
    ("text", "amount"),
    [("24GiB", 24 * 2**30), ("80 GB", 80 * 10**9), ("1.5MiB", 3 * 2**19), ("512kB", 512_000), ("7", 7), ("9 B", 9),
     ("2tib", 2**41), (1024, 1024), (1.5e9, 1_500_000_000)],
)  # fmt: skip
def test_bytes(text, amount):
    assert bytes_in(text, "memory") == amount


@pytest.mark.parametrize(
    ("text", "amount"), [("1h", 3600), ("30min", 1800), ("1.5 s", 1.5), ("250ms", 0.25), ("2d", 172_800), (3, 3)]
)
def test_seconds(text, amount):
    assert seconds_in(text, "time") == amount


NONE = [
    "",
    "GiB",
    "24G",
    "24 gigabytes",
    "-3GiB",
    "0",
    "0.1",
    "nan",
    "1e3GiB",
    True,
    None,
    float("nan"),
    float("inf"),
    -1,
]


@pytest.mark.parametrize("given", NONE, ids=repr)
def test_what_is_no_amount_is_refused_in_a_sentence(given):
    with pytest.raises(BadSize, match=r"memory = .* was given; an amount above 0 with a unit .* is allowed"):
        bytes_in(given, "memory")
    if given != "0.1":
        with pytest.raises(BadSize, match=r"time = .* was given; a time above 0 with a unit .* is allowed"):
            seconds_in(given, "time")
