"""From small models that were timed to what a launch, a view and a call of a module take of the host.

What the kernels of a model do not explain is shared out among the three by least squares, each at least 0. In training
the forward pass costs as much, and so much more for each operator and view that is recorded; what remains is the way
back's. Not covered: the host of a GPU, which `benchmarks/gpu_launches.py` measures operator by operator.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from typing import Any

import numpy as np

from seqcost.algebra.work import Beside, Direction
from seqcost.calibration.models import rows_of
from seqcost.machines import Machine, Value
from seqcost.prediction.host import ANY, BACKWARD, LAUNCH, MODULE, PLAIN, RECORDING, VIEW
from seqcost.prediction.interval import NINETY
from seqcost.prediction.kernels import Kernels

Ways = Mapping[str, Mapping[str, Value]]


@dataclass(frozen=True)
class _Run:
    """A model's run: what its kernels leave of it, and how many launches, views and calls that is."""

    training: bool
    seconds: float
    left_s: float
    forward: tuple[float, float, float]
    backward: tuple[float, float]

    @classmethod
    def of(cls, told: Mapping[str, Any], kernels: Kernels) -> "_Run":
        rows = rows_of(told)
        launches = [
            sum(float(row.launches) for row in rows if (row.direction is Direction.BACKWARD) is back)
            for back in (False, True)
        ]
        beside = Beside(**told["beside"])
        kernel_s = sum(float(row.launches) * kernels.launch(row).seconds for row in rows)
        return cls(
            told["phase"] == "train",
            told["seconds"],
            told["seconds"] - kernel_s,
            (launches[0], launches[0] * beside.views_forward, launches[0] * beside.modules),
            (launches[1], launches[1] * beside.views_backward),
        )


def host_of(told: Iterable[Mapping[str, Any]], machine: Machine, value: Any) -> Ways:
    """The table `host` of a profile; `value` makes a number of an amount, a unit and an error."""
    kernels = Kernels(machine, "float32" if "float32" in machine.peaks else next(iter(machine.peaks)))
    runs = [_Run.of(one, kernels) for one in told]
    plain, steps = ([run for run in runs if run.training is training] for training in (False, True))
    cost = _least_squares([run.forward for run in plain], [run.left_s for run in plain], plain)
    said, forward_s = (
        [sum(number * each for number, each in zip(run.forward, cost, strict=True)) for run in some]
        for some in (plain, steps)
    )
    back = _least_squares(
        [(sum(run.forward[:2]), *run.backward) for run in steps],
        [run.left_s - seconds for run, seconds in zip(steps, forward_s, strict=True)],
        steps,
    )
    recorded, back_launch, back_view = back
    said_of_steps = [
        seconds + recorded * sum(run.forward[:2]) + back_launch * run.backward[0] + back_view * run.backward[1]
        for run, seconds in zip(steps, forward_s, strict=True)
    ]
    errors = [_error(said, plain), _error(said_of_steps, steps)]

    def ways(plain_s: float, recording_s: float, backward_s: float | None) -> dict[str, Value]:
        found = {PLAIN: value(plain_s, "s", errors[0]), RECORDING: value(recording_s, "s", errors[1])}
        return found if backward_s is None else found | {BACKWARD: value(backward_s, "s", errors[1])}

    average, average_step = (
        max(statistics.median(run.left_s / (run.forward[0] + run.backward[0]) for run in some), 0.0)
        for some in (plain, steps)
    )
    return {
        ANY: ways(average, average_step, average_step),
        LAUNCH: ways(cost[0], cost[0] + recorded, back_launch),
        VIEW: ways(cost[1], cost[1] + recorded, back_view),
        MODULE: ways(cost[2], cost[2], None),
    }


def _least_squares(
    columns: Sequence[Sequence[float]], seconds: Sequence[float], runs: Sequence[_Run]
) -> tuple[float, ...]:
    """Of some seconds, in relation to those of the whole runs; each at least 0: the best of all choices of zeros."""
    weights = 1 / np.array([run.seconds for run in runs])
    A, b = np.array(columns) * weights[:, None], np.array(seconds) * weights
    number = A.shape[1]
    best, error = np.zeros(number), float((b**2).sum())
    for some in chain.from_iterable(combinations(range(number), size) for size in range(1, number + 1)):
        found = np.linalg.lstsq(A[:, some], b, rcond=None)[0]
        left = float(((A[:, some] @ found - b) ** 2).sum())
        if (found >= 0).all() and left < error:
            best, error = np.zeros(number), left
            best[list(some)] = found
    return tuple(float(x) for x in best)


def _error(said: Sequence[float], runs: Sequence[_Run]) -> float:
    """Ninety of a hundred such models lie so far from what is said, relative to what is said on average."""
    apart = [run.left_s - seconds for run, seconds in zip(runs, said, strict=True)]
    typical = float(np.mean(said))
    return min(NINETY * float(np.sqrt(np.mean(np.square(apart)))) / typical, NINETY) if typical else NINETY
