"""A prediction with what runs taught: parts and phases scaled, rows with them, and the spread that was seen."""

import math
from dataclasses import replace

import pytest
from toy_machine import learnt, machine, value

from seqcost.algebra.work import Kernel, Row
from seqcost.machines.checks import PARTS
from seqcost.machines.values import OWN_MODELS
from seqcost.prediction import as_learnt, timed
from seqcost.prediction.learnt import PART_OF, parts_of

ROWS = [
    Row(name="a", kernel=Kernel.ELEMENTWISE, operator="add", sizes=(2**12,), launches=10, bytes=12 * 2**12 * 10),
    Row(name="p", kernel=Kernel.PRODUCT, operator="addmm", sizes=(16, 256, 256), launches=3,
        contraction=3 * 2 * 16 * 256 * 256, bytes=10**6),
]  # fmt: skip


def asked(on, phase="forward"):
    return as_learnt(timed(ROWS, on, "float32", training=False), on, "float32", phase)


def test_a_machine_that_no_run_taught_says_what_its_kernels_say():
    plain = timed(ROWS, machine(), "float32", training=False)
    assert asked(machine()) is plain or asked(machine()) == plain
    assert asked(machine(learnt={"bfloat16": learnt()})) == plain


def test_each_part_takes_its_factor_and_rows_add_up_to_it():
    plain, found = asked(machine()), asked(machine(learnt={"float32": learnt(products=2.0, calls=0.5)}))
    assert parts_of(found) == pytest.approx(
        dict.fromkeys(PARTS, 0.0)
        | {"products": 2 * parts_of(plain)["products"], "streams": parts_of(plain)["streams"]}
        | {"calls": plain.host_s / 2}
    )  # fmt: skip
    assert found.seconds.mid == pytest.approx(sum(parts_of(found).values()))
    assert sum(row.seconds.mid for row in found.rows) == pytest.approx(found.seconds.mid)


def test_each_kernel_is_of_one_part_and_each_part_has_its_kernels():
    assert set(PART_OF) == set(Kernel)
    assert {*PART_OF.values(), "calls", "fresh"} == set(PARTS)


def test_the_factor_of_its_phase_counts_for_all_parts():
    taught = machine(learnt={"float32": learnt(decode=3.0)})
    assert asked(taught, "decode").seconds.mid == pytest.approx(3 * asked(taught, "prefill").seconds.mid)


def test_the_interval_is_as_wide_as_runs_there_strayed():
    narrow, wide = (asked(machine(learnt={"float32": learnt(spread=s)})) for s in (0.1, 0.6))
    for found, spread in ((narrow, 0.1), (wide, 0.6)):
        assert found.seconds.spread == pytest.approx(math.hypot(found.spread_of_parts, found.stray, spread))
        assert found.spread_of_parts == pytest.approx(asked(machine()).spread_of_parts)


def test_on_a_gpu_the_longer_side_counts_still():
    slow = {"any": {"plain": value(1e-3, "s")}}
    gpu = machine(device="gpu", host=slow, learnt={"float32": learnt(calls=0.5)})
    assert asked(gpu).seconds.mid == pytest.approx(13 * 1e-3 / 2)
    assert replace(gpu, learnt={}).device == "gpu"


def test_who_taught_is_said():
    own = replace(learnt(), parts={"calls": replace(value(1.2, "1"), source=OWN_MODELS)}, phases={})
    assert own.runs.endswith("models of its own")
    kept = replace(own, parts={"calls": replace(value(1.2, "1"), source="seqcost calibrate --from-records")})
    assert kept.runs.endswith("targets")
