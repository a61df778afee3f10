"""From what the worker told to a profile; and the sample of kernels that it is told of."""

import math
import time
import weakref
from dataclasses import replace
from functools import partial

import pytest
import torch
from toy_machine import machine

from seqcost.algebra.work import Kernel
from seqcost.calibration import Told, differences, left_out, levels, merged, profile_of
from seqcost.calibration.caches import Level
from seqcost.calibration.profile import held
from seqcost.errors import BadMachine
from seqcost.machines import read, write
from seqcost.machines.values import OWN_MODELS
from seqcost.measure.kernels.between import Between
from seqcost.measure.kernels.case import Case
from seqcost.measure.kernels.sample import POOLS, cpu_cases
from seqcost.measure.kernels.worker import FEWEST, LONG_S, MOST, Pool, again, calls_of, inner, row_of, timed, watched
from seqcost.prediction import Kernels

SAMPLE = list(cpu_cases("float32"))
SMALLEST: dict[tuple[str, str], Case] = {}
for _case in sorted(SAMPLE, key=lambda case: (case.pool, math.prod(case.sizes))):
    SMALLEST.setdefault((_case.kernel, _case.operator), _case)


@pytest.fixture(scope="module")
def pool():
    return Pool(torch.float32)


@pytest.mark.parametrize("case", SMALLEST.values(), ids=lambda case: case.operator)
def test_each_case_launches_the_row_that_it_is_named_after(case, pool):
    """So a point of a profile is found by a row of a model."""
    with torch.no_grad():
        row = row_of(case, calls_of(case, pool)[0])
    assert (row["kernel"], row["operator"], row["launches"]) == (case.kernel, case.operator, 1)
    assert row["bytes"] > 0


def test_what_pytorch_runs_as_something_else_is_no_point():
    case = replace(SMALLEST["recurrence", "mkldnn_rnn_layer"], dtype="float64")
    with torch.no_grad():
        assert row_of(case, calls_of(case, Pool(torch.float64))[0]) is None


@pytest.mark.parametrize("size", POOLS)
def test_operands_take_turns_through_their_pool(size, pool):
    case = next(case for case in SAMPLE if (case.pool, case.sizes, case.operator) == (size, (2**18,), "mul"))
    calls = calls_of(case, pool)
    assert len(calls) == 1 + size // case.bytes
    assert len({call.args[0].data_ptr() for call in calls}) == len(calls)
    near = calls_of(replace(case, pool=0), pool)
    assert len(near) == 1


def test_thin_products_and_one_operator_for_all_are_timed_in_each_pool_and_near():
    for operator in ("addmm", "mul"):
        at = {pool: {case.sizes for case in SAMPLE if (case.operator, case.pool) == (operator, pool)} for pool in POOLS}
        assert at[POOLS[0]] == at[POOLS[1]] != set()
    assert {case.operator for case in SAMPLE if case.pool} == {"addmm", "mul"}
    assert all(case.sizes[0] <= 64 for case in SAMPLE if case.pool and case.operator == "addmm")


def test_each_launch_is_timed_after_others_and_its_result_stays_for_a_turn():
    ran, alive = [], []

    def call(name):
        ran.append(name)
        result = torch.zeros(1)
        alive.append(weakref.ref(result))
        return result

    seconds = timed([partial(call, "a"), partial(call, "b")], lambda: ran.append("between"))
    assert FEWEST <= len(seconds) <= MOST
    assert ran[:2] == ["a", "b"]  # once before, untimed
    assert ran[2:] == [name for i in range(len(seconds)) for name in ("between", "ab"[i % 2])]


def test_a_long_launch_is_timed_once_in_a_round():
    assert len(timed([partial(time.sleep, 1.1 * LONG_S)], lambda: None)) == 1


def test_launches_in_a_loop_are_quicker_than_after_others():
    """By how much is the machine's; that the two are shares of one is ours."""
    with torch.no_grad():
        between = Between()
        assert 0.0 < inner(between) < 2.0
        assert 0.0 < again(between) < 2.0


def test_what_runs_between_launches_has_no_gradient_and_changes_nothing():
    between = Between()
    before = [tensor.clone() for tensor in vars(between).values() if isinstance(tensor, torch.Tensor)]
    between()
    after = [tensor for tensor in vars(between).values() if isinstance(tensor, torch.Tensor)]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    seen = watched(between)
    assert len({row["operator"] for row in seen["rows"]}) >= 20
    assert {row["direction"] for row in seen["rows"]} == {"forward"}


def told_of(cases, *, glue=1e-4, models=(("m", 8),), again=(0.5, 0.4, 0.9), inner=(0.3, 1.5, 1.2)):
    """As if each launch took 1 µs and 1 ns a byte, in two rounds of which one was disturbed."""
    lines = []
    for turn in range(2):
        for index, case in enumerate(cases):
            moved = 12 * math.prod(case.sizes)
            seconds = 1e-6 + 1e-9 * moved
            row = {
                "name": f"aten::{case.operator}", "operator": case.operator, "kernel": str(case.kernel),
                "direction": "forward", "sizes": list(case.sizes), "launches": 1, "contraction": case.flops,
                "pointwise": 0, "bytes": moved, "itemsize": 4,
            }  # fmt: skip
            lines.append({"index": index, "row": row if turn == 0 else None, "seconds": [seconds * (1 + turn)] * 3})
    lines.append({"fresh": {"bytes": 2**20, "seconds": 1e-3}})
    lines.append({"pools": [[2**20, 1.0], [2**24, 1.0], [2**25, 4.0]]})
    lines.append({"again": list(again), "inner": list(inner)})
    one = {**lines[0]["row"], "launches": 10, "bytes": 10 * lines[0]["row"]["bytes"], "contraction": 0}
    beside = {"views_forward": 0.0, "views_backward": 0.0, "modules": 0.0, "inner": 0.0}
    lines += [
        {"model": {"model": name, "D": 16, "T": T, "phase": phase, "seconds": glue, "rows": [one], "beside": beside,
                   "peak_bytes": 10**5}}
        for name, T in models for phase in ("forward", "train")
    ]  # fmt: skip
    return Told.of(lines)


CASES = [
    Case(kernel=Kernel.ELEMENTWISE, operator="add", sizes=(2**power,), dtype="float32") for power in (6, 10, 14, 18, 22)
] + [Case(kernel=Kernel.PRODUCT, operator="mm", sizes=(m, 64, 64), dtype="float32") for m in (1, 8, 64)]


def profile(**changes):
    how = {"threads": 2, "memory_bytes": 2**33, "levels": (Level("L2", 2**20), Level("L3", 2**25)), "title": "t"}
    return profile_of(told_of(CASES), CASES, **how | {"environment": {"num_cores": 2}} | changes)


def test_the_middle_of_all_launches_is_the_point_and_nothing_is_above_the_roofline():
    found = profile()
    adds = next(series for series in found.series if series.operator == "add")
    assert adds.seconds[0] == pytest.approx(1.5 * (1e-6 + 1e-9 * 12 * 64))
    kernels = Kernels(found, "float32")
    for series in found.series:
        for flops, moved, seconds in zip(series.flops, series.bytes, series.seconds, strict=True):
            assert kernels.roofline(flops, moved) <= seconds * (1 + 1e-9)


def test_rounds_that_differ_make_times_stray():
    assert profile().stray.amount == pytest.approx(math.log(2) / (0.6745 * math.sqrt(2)))


def test_what_kernels_do_not_explain_is_glue():
    """Of launches, where neither views nor modules are."""
    add_s = (1e-6 + 1e-9 * 12 * 64) * 1.5
    host = profile().host
    assert host["any"]["plain"].amount == pytest.approx((1e-4 - 10 * add_s) / 10)
    assert host["launch"]["plain"].amount == pytest.approx(host["any"]["plain"].amount)
    assert host["view"]["plain"].amount == host["module"]["plain"].amount == 0.0


def test_only_the_smallest_models_tell_of_the_host():
    more = profile_of(
        told_of(CASES, models=(("m", 8), ("n", 128))), CASES, threads=2, memory_bytes=2**33, levels=(), title="t",
        environment={},
    )  # fmt: skip
    assert more.host["any"]["plain"].amount == profile().host["any"]["plain"].amount


def test_launches_in_loops_take_the_middle_of_their_shares_and_at_most_all():
    assert profile().again.amount == 0.5
    assert profile().inner.amount == 1.0
    without = told_of(CASES)
    without.again = without.inner = ()
    found = profile_of(without, CASES, threads=2, memory_bytes=2**33, levels=(), title="t", environment={})
    assert found.again is found.inner is None


def test_its_own_models_teach_it():
    """Six models of which each takes four times what its kernels say; of float32 alone, in which they ran."""
    several = tuple((f"m{number}", T) for number in range(6) for T in (8, 64))
    told = told_of(CASES, models=several)
    for one in told.models:
        if one["T"] == 64:
            (row,) = one["rows"]
            one["rows"] = [{**row, "sizes": [2**18], "bytes": 10 * 12 * 2**18}]
            one["seconds"] = 4 * 10 * 1.5 * (1e-6 + 1e-9 * 12 * 2**18)
    how = {"threads": 2, "memory_bytes": 2**33, "levels": (), "title": "t", "environment": {}}
    taught = profile_of(told, CASES, **how).learnt
    assert set(taught) == {"float32"}
    assert taught["float32"].num_targets == 6
    assert 1.5 < taught["float32"].parts["streams"].amount * taught["float32"].phases["forward"].amount < 4
    assert taught["float32"].parts["streams"].source == OWN_MODELS
    assert profile().learnt == {}  # one model is too few
    halves = [replace(case, dtype="bfloat16") for case in CASES]
    assert profile_of(told_of(halves, models=several), halves, **how).learnt == {}


def test_its_own_error_is_that_of_points_left_out():
    error = left_out(machine())
    assert error["elementwise"][0] == pytest.approx(0.0, abs=1e-3)
    assert error["all"][1] >= error["all"][0]


def test_a_profile_reads_as_it_was_written(tmp_path):
    write(profile(), tmp_path / "p.toml")
    assert read(tmp_path / "p.toml").series[0].operator == "add"


def test_formats_of_one_machine_share_a_profile_and_unlike_machines_do_not(tmp_path):
    wide, narrow = profile(), profile()
    narrow = replace(
        narrow,
        peaks={"bfloat16": narrow.peaks["float32"]},
        series=tuple(replace(series, dtype="bfloat16") for series in narrow.series),
    )
    both = merged(narrow, wide)
    assert set(both.peaks) == {"float32", "bfloat16"}
    assert len(both.series) == 2 * len(wide.series)
    assert len(merged(wide, both).series) == len(both.series)
    with pytest.raises(BadMachine, match=r"or other versions \(num_cores: 8 and 2\); give another file"):
        merged(profile(environment={"num_cores": 8}), wide)
    assert differences(wide, narrow) == {}


def test_the_largest_cache_holds_as_much_as_additions_find_room_in():
    assert held([(2**20, 1.0), (2**24, 1.0), (2**25, 4.0)], 2**30) == pytest.approx(2**24.5, rel=1e-3)
    assert held([(2**20, 1.0), (2**24, 1.0), (2**25, 4.0)], 2**21) == 2**21
    assert held([], 7) == 7


def test_caches_are_those_of_the_threads_that_run(tmp_path):
    for cpu in range(4):
        for index, (level, kind, size, shared) in enumerate(
            [("1", "Data", "32K", f"{cpu}"), ("1", "Instruction", "32K", f"{cpu}"), ("3", "Unified", "8M", "0-3")]
        ):
            folder = tmp_path / f"cpu{cpu}" / "cache" / f"index{index}"
            folder.mkdir(parents=True)
            for name, text in (("level", level), ("type", kind), ("size", size), ("shared_cpu_list", shared)):
                (folder / name).write_text(text + "\n")
    assert levels(2, tmp_path) == (Level("L1", 2 * 2**15), Level("L3", 2**23))
    assert levels(2, tmp_path / "none") == ()


def test_rows_of_whatever_runs_are_plain_data():
    (row,) = [row for row in watched(lambda: torch.ones(3) + 1)["rows"] if row["operator"] == "add"]
    assert row["sizes"] == (3,)
    assert row["kernel"] == "elementwise"
