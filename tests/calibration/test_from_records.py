"""What runs have in common: known factors are found, few runs move little, and targets are judged while held out."""

import math
import random

import pytest

from seqcost.calibration.from_records import FAR, Evidence, Fit, learn
from seqcost.machines.checks import PARTS

SPREAD = 0.3
NONE = dict.fromkeys(PARTS, 0.0)
TRUE = dict.fromkeys(PARTS, 1.0) | {"products": 1.5, "streams": 1.2, "calls": 0.6}


def run(target, *, phase="forward", factor=1.0, true=TRUE, seed=0, **parts):
    dice = random.Random(f"{target} {phase} {seed}")
    parts = NONE | {part: dice.uniform(0.1, 1.0) for part in ("products", "streams", "calls")} | parts
    measured = factor * sum(true[part] * seconds for part, seconds in parts.items())
    return Evidence(
        target=target, phase=phase, measured_s=measured, parts=parts, predicted_s=sum(parts.values()), spread=0.05
    )


def runs(num_targets, **how):
    return [run(f"t{i}", phase=phase, seed=seed, **how) for i in range(num_targets) for phase in ("forward", "train")
            for seed in range(3)]  # fmt: skip


def taught(evidence, **how):
    return learn(evidence, **{"waits": True, "spread": SPREAD, "date": "2026"} | how)


def test_known_factors_are_found_and_held_out_targets_come_nearer():
    lesson = taught(runs(60))
    found = Fit(tuple(runs(60)), True, SPREAD)
    for one in runs(3, true=TRUE):
        assert found.predicted(one) == pytest.approx(one.measured_s, rel=0.06)
    assert lesson.helps
    assert lesson.after.median < 0.05 < lesson.before.median
    assert lesson.learnt.parts["products"].amount > lesson.learnt.parts["streams"].amount > 1
    assert lesson.learnt.parts["calls"].amount < 0.75
    assert (lesson.learnt.num_runs, lesson.learnt.num_targets) == (360, 60)
    assert "decode" not in lesson.learnt.phases


def test_a_phase_has_a_factor_of_its_own():
    slow = [run(f"t{i}", phase="decode", factor=2.0, true=dict.fromkeys(TRUE, 1.0)) for i in range(40)]
    plain = [run(f"t{i}", true=dict.fromkeys(TRUE, 1.0)) for i in range(40)]
    found = Fit((*slow, *plain), True, SPREAD).factors
    assert found["decode"] / found["forward"] == pytest.approx(2.0, rel=0.15)


def test_few_runs_move_a_factor_little():
    few, many = (Fit(tuple(runs(n, factor=2.0, true=dict.fromkeys(TRUE, 1.0))), True, SPREAD) for n in (1, 30))
    one = run("new", true=dict.fromkeys(TRUE, 1.0))
    assert 1.0 < few.predicted(one) / one.predicted_s < 1.8 < many.predicted(one) / one.predicted_s < 2.0


def test_lengths_of_one_target_are_no_further_targets():
    once = Fit((run("a", factor=2.0),), True, SPREAD).factors
    often = Fit((run("a", factor=2.0),) * 20, True, SPREAD).factors
    assert often == pytest.approx(once, rel=1e-6)


def test_one_run_far_off_pulls_no_more_than_one_that_is_nearer():
    plain = [run(f"t{i}", true=dict.fromkeys(TRUE, 1.0)) for i in range(10)]
    far, farther = (
        Fit((*plain, run("odd", true=dict.fromkeys(TRUE, 1.0), factor=factor)), True, SPREAD).factors["products"]
        for factor in (math.exp(2 * FAR * SPREAD), 1000.0)
    )
    assert farther == pytest.approx(far, rel=0.02)


def test_what_does_not_help_a_target_that_was_held_out_is_said_not_to():
    """Each target errs its own way: nothing is in common."""
    odd = [run(f"t{i}", factor=factor, true=dict.fromkeys(TRUE, 1.0)) for i, factor in enumerate((2, 0.5, 2, 0.5))]
    lesson = taught(odd)
    assert not lesson.helps
    assert lesson.after.median >= lesson.before.median


def test_the_spread_is_what_the_rest_strays_drawn_to_what_was_known():
    quiet = taught(runs(30, true=dict.fromkeys(TRUE, 1.0))).learnt.spread.amount
    dice = random.Random(1)
    wild = [run(f"t{i}", factor=math.exp(dice.gauss(0, 0.8)), true=dict.fromkeys(TRUE, 1.0)) for i in range(60)]
    loud = taught(wild)
    assert quiet < SPREAD / 2
    assert loud.learnt.spread.amount == pytest.approx(0.8, rel=0.25)
    assert loud.after.held > 0.8 > loud.before.held


def test_on_a_gpu_the_side_that_counts_alone_is_taught():
    def bound_by(part, factor):
        return [
            Evidence(target=f"{part}{i}", phase="forward", measured_s=factor, predicted_s=1.0, spread=0.05,
                     parts=NONE | {"products": 0.3, "streams": 0.2, "calls": 0.1} | {part: 1.0})
            for i in range(30)
        ]  # fmt: skip

    found = Fit((*bound_by("calls", 2.0), *bound_by("products", 1.2)), False, SPREAD)
    assert found.factors["calls"] > 1.3 * found.factors["products"]
