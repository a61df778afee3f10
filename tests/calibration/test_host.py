"""What a launch, a view and a call of a module cost, found again from runs that obey a rule."""

from itertools import product

import pytest
from toy_machine import add_seconds, machine, value

from seqcost.calibration.host import host_of
from seqcost.calibration.models import evidence, rows_of

TOY = machine()
COSTS = {"launch": (4e-6, 7e-6, 9e-6), "view": (1e-6, 4e-6, 2e-6), "module": (5e-6, 5e-6)}  # recording: 3 µs each


def row(launches, direction):
    return {
        "name": "aten::add", "operator": "add", "kernel": "elementwise", "direction": direction, "sizes": [64],
        "launches": launches, "contraction": 0, "pointwise": 0, "bytes": 12 * 64 * launches, "itemsize": 4,
    }  # fmt: skip


def run(phase, launches, views, modules, back=0, back_views=0, *, costs=COSTS, disturbed_s=0.0):
    """As if all of these cost what the rule says."""
    way = 1 if phase == "train" else 0
    of_forward = ((launches, "launch"), (views, "view"), (modules, "module"))
    host_s = sum(number * costs[name][way] for number, name in of_forward)
    host_s += back * costs["launch"][2] + back_views * costs["view"][2]
    return {
        "model": f"m{launches}-{views}-{modules}", "D": 16, "T": 8, "phase": phase, "peak_bytes": 10**4,
        "seconds": host_s + (launches + back) * add_seconds(64) + disturbed_s,
        "rows": [row(launches, "forward"), row(back, "backward")],
        "beside": {"views_forward": views / launches, "views_backward": back_views / max(back, 1),
                   "modules": modules / launches, "inner": 0.0},
    }  # fmt: skip


def runs(**how):
    for number, (launches, views, modules) in enumerate(product((5, 20), (1, 30), (2, 10))):
        yield run("forward", launches, views, modules, **how)
        yield run("train", launches, views, modules, launches + 3 * number, 7 * number % 11, **how)


def found(told):
    """Seconds by name and way."""
    ways = host_of(told, TOY, lambda amount, unit, error: value(amount, unit, error))
    return {name: {way: one.amount for way, one in of.items()} for name, of in ways.items()}


def test_costs_that_obey_a_rule_are_found():
    ways = found(runs())
    for name in ("launch", "view"):
        assert ways[name] == pytest.approx(dict(zip(("plain", "recording", "backward"), COSTS[name], strict=True)))
    assert ways["module"] == pytest.approx({"plain": 5e-6, "recording": 5e-6})


def test_a_rule_without_disturbance_has_no_error():
    ways = host_of(runs(), TOY, lambda amount, unit, error: value(amount, unit, error))
    assert all(one.error == pytest.approx(0.0, abs=1e-9) for name in COSTS for one in ways[name].values())
    disturbed = [*runs(), run("forward", 10, 10, 10, disturbed_s=1e-3)]
    ways = host_of(disturbed, TOY, lambda amount, unit, error: value(amount, unit, error))
    assert ways["launch"]["plain"].error > 0.1


def test_on_average_a_launch_costs_its_views_and_modules_too():
    plain = [run("forward", 10, views, 10) for views in (0, 10, 20)]
    step = run("train", 10, 10, 10, back=10, back_views=10)
    ways = found([*plain, step, step])
    assert ways["any"]["plain"] == pytest.approx(4e-6 + 1e-6 + 5e-6)
    whole = 7e-6 + 4e-6 + 5e-6 + 9e-6 + 2e-6
    assert ways["any"]["recording"] == ways["any"]["backward"] == pytest.approx(whole / 2)


@pytest.mark.parametrize("costs", [
    {"launch": (4e-6, 4e-6, 4e-6), "view": (-1e-6, -1e-6, -1e-6), "module": (5e-6, 5e-6)},
    {"launch": (-9e-6,) * 3, "view": (-1e-6,) * 3, "module": (-1e-6,) * 2},
])  # fmt: skip
def test_nothing_costs_less_than_nothing(costs):
    """Where kernels take longer alone than in a model, what they leave is negative."""
    ways = found(runs(costs=costs))
    assert all(amount >= 0 for of in ways.values() for amount in of.values())
    assert ways["view"]["plain"] == 0.0


def test_what_its_own_models_teach_is_held_against_what_the_machine_says_of_them():
    told = list(runs())
    ones = list(evidence(told, machine(host=host_of(told, TOY, value)), "float32"))
    assert [one.target for one in ones] == [one["model"] for one in told]
    for one, of in zip(ones, told, strict=True):
        assert one.predicted_s == pytest.approx(of["seconds"], rel=1e-6)
        assert sum(one.parts.values()) == pytest.approx(one.predicted_s)
        launches = sum(row.launches for row in rows_of(of))
        assert one.parts["streams"] == pytest.approx(launches * add_seconds(64))


def test_rows_that_launch_nothing_are_left_out():
    assert [row.launches for row in rows_of(run("forward", 5, 1, 1))] == [5]
