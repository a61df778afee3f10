"""Laws of nature that what a run costs must obey, whatever its formula: more work costs no less, every weight is read.

The traces obey them where they equal the formulas, which `test_trace` holds.
"""

import itertools
from dataclasses import replace
from functools import cache
from operator import attrgetter

import pytest
from strategies import KINDS, typical

from seqcost.algebra import Kind
from seqcost.formulas.catalogue import configure
from seqcost.formulas.core.workload import Workload
from seqcost.questions.answers.phases import by_formula

every_kind = pytest.mark.parametrize("variant", KINDS, ids=attrgetter("id"))
ITEMSIZE = 4
LARGEST_TABLE = 64  # rows of the tables that small variants look up in


@cache
def told(config, phase, B, T):
    """FLOPs, bytes, launches, new memory and peak."""
    S = 5 if config.takes_source else 0
    found = by_formula(config, Workload(B=B, T=T, S=S, itemsize=ITEMSIZE), phase, remembering=True)
    return {
        "flops": found.bills.flops.total(*Kind),
        "bytes": found.bills.moved.total(),
        "launches": sum(row.launches for row in found.rows),
        "fresh": sum(row.fresh for row in found.rows),
        "peak": found.peak_bytes,
    }


def check_that_none_falls(found):
    for a, b in itertools.pairwise(found):
        assert [name for name in a if a[name] > b[name]] == []


def phases(config):
    return ("forward", "train", "decode") if config.decodes else ("forward", "train")


@every_kind
def test_more_sequences_cost_no_less(variant):
    config = typical(variant)
    for phase in phases(config):
        check_that_none_falls([told(config, phase, B, 6) for B in (2, 3)])


@every_kind
def test_a_longer_text_costs_no_less(variant):
    for phase in ("forward", "train"):  # a step of some layers does more where a chunk of tokens is full
        check_that_none_falls([told(typical(variant), phase, 2, T) for T in (6, 17, LARGEST_TABLE)])


@pytest.mark.parametrize("variant", [v for v in KINDS if "L" in v.sizes(max)], ids=attrgetter("id"))
def test_more_layers_cost_no_less(variant):
    sizes = variant.sizes(min) | variant.choices
    shallow, deep = (configure(variant.name, **sizes | {"L": L}) for L in (2, 4))
    for phase in phases(shallow):
        found = [told(config, phase, 2, 6) for config in (shallow, deep)]
        check_that_none_falls(found)
        assert found[0]["launches"] < found[1]["launches"]


@every_kind
def test_every_weight_is_read(variant):
    """Once at least, where there are as many tokens as a table has rows."""
    config = typical(variant)
    weights = ITEMSIZE * config.params().total()
    forward, train = (told(config, phase, 2, LARGEST_TABLE) for phase in ("forward", "train"))
    assert forward["bytes"] >= weights
    assert train["bytes"] >= forward["bytes"] + weights  # each has a gradient, which is written
    assert train["fresh"] >= weights
    assert min(forward["peak"], train["peak"]) >= weights


W = 8
FULL = configure("attention-layer", D=64, H=4)
WINDOWED = configure("window-layer", D=64, H=4, W=W, C=W)


@pytest.mark.parametrize("T", [W, 2 * W, 5 * W, 64 * W])
def test_a_step_that_sees_a_window_costs_no_more_than_one_that_sees_all(T):
    check_that_none_falls([told(config, "decode", 3, T) for config in (WINDOWED, FULL)])


@pytest.mark.parametrize("phase", ["forward", "train"])
def test_a_window_costs_no_more_than_all_and_grows_with_the_length_alone(phase):
    windowed = [told(WINDOWED, phase, 1, n * W) for n in (16, 32, 64)]
    fused, written = (
        [told(replace(FULL, implementation=how), phase, 1, n * W) for n in (16, 32, 64)]
        for how in ("fused", "materialised")
    )
    for narrow, wide in zip(windowed, fused, strict=True):
        assert narrow["flops"] <= wide["flops"]
    for narrow, wide in zip(windowed, written, strict=True):
        assert all(narrow[name] <= wide[name] for name in ("flops", "bytes", "fresh", "peak"))
    for short, long in itertools.pairwise(windowed):
        assert short["launches"] == long["launches"]
        assert all(long[name] <= 2 * short[name] for name in short)
    assert fused[-1]["flops"] > 2 * fused[-2]["flops"]
