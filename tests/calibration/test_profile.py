"""From what the worker told to a profile; and the sample of kernels that it is told of."""

import math
from dataclasses import replace

import pytest
import torch
from toy_machine import machine

from seqcost.algebra.work import Kernel
from seqcost.calibration import Told, differences, left_out, levels, merged, profile_of
from seqcost.calibration.caches import Level
from seqcost.calibration.profile import held
from seqcost.errors import BadMachine
from seqcost.machines import read, write
from seqcost.measure.kernels.case import Case
from seqcost.measure.kernels.sample import cpu_cases
from seqcost.measure.kernels.worker import Pool, calls_of, row_of, rows_of, timed
from seqcost.prediction import Kernels

SAMPLE = list(cpu_cases("float32"))
SMALLEST: dict[tuple[str, str], Case] = {}
for _case in sorted(SAMPLE, key=lambda case: (case.cold, math.prod(case.sizes))):
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


def test_cold_operands_take_turns_through_the_whole_pool(pool):
    case = next(case for case in SAMPLE if case.cold and case.sizes == (2**20,) and case.operator == "add")
    calls = calls_of(case, pool)
    assert len(calls) > 2
    assert len({call.args[0].data_ptr() for call in calls}) > 2
    assert len(timed(calls[:2])) == 3


def told_of(cases, *, glue=1e-4):
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
    one = {**lines[0]["row"], "launches": 10, "bytes": 10 * lines[0]["row"]["bytes"], "contraction": 0}
    lines += [
        {"glue": {"model": "m", "phase": phase, "seconds": glue, "rows": [one]}} for phase in ("forward", "train")
    ]
    return Told.of(lines)


CASES = [
    Case(kernel=Kernel.ELEMENTWISE, operator="add", sizes=(2**power,), dtype="float32") for power in (6, 10, 14, 18, 22)
] + [Case(kernel=Kernel.PRODUCT, operator="mm", sizes=(m, 64, 64), dtype="float32") for m in (1, 8, 64)]


def profile(**changes):
    how = {"threads": 2, "memory_bytes": 2**33, "levels": (Level("L2", 2**20), Level("L3", 2**25)), "title": "t"}
    return profile_of(told_of(CASES), CASES, **how | {"environment": {"num_cores": 2}} | changes)


def test_the_quickest_round_is_the_point_and_nothing_is_above_the_roofline():
    found = profile()
    adds = next(series for series in found.series if series.operator == "add")
    assert adds.seconds[0] == pytest.approx(1e-6 + 1e-9 * 12 * 64)
    kernels = Kernels(found, "float32")
    for series in found.series:
        for flops, moved, seconds in zip(series.flops, series.bytes, series.seconds, strict=True):
            assert kernels.roofline(flops, moved) <= seconds * (1 + 1e-9)


def test_rounds_that_differ_make_times_stray():
    assert profile().stray.amount == pytest.approx(math.log(2) / (0.6745 * math.sqrt(2)))


def test_what_kernels_do_not_explain_is_glue():
    add_s = 1e-6 + 1e-9 * 12 * 64
    assert profile().host["any"]["plain"].amount == pytest.approx((1e-4 - 10 * add_s) / 10)


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
    (row,) = [row for row in rows_of(lambda: torch.ones(3) + 1) if row["operator"] == "add"]
    assert row["sizes"] == (3,)
    assert row["kernel"] == "elementwise"
