"""What the host takes beside the kernels: a launch asked for from Python, views made, modules called, gradients noted.

A profile knows it of every launch on average (`ANY`), or apart for a launch, a view and a call of a module: then a run
whose views and calls were counted is dearer the more of them it has. Not covered: what a model computes in Python.
"""

from seqcost.algebra.work import Beside, Direction, Row
from seqcost.machines import Machine
from seqcost.machines.values import Value
from seqcost.prediction.interval import NINETY

SPREAD_OF_GLUE = 0.3  # where a profile gives no error of its own
# Under these a profile keeps what holds of every operator: all that a launch takes on average, views and modules
# included; and each of the three by itself.
ANY, LAUNCH, VIEW, MODULE = "any", "launch", "view", "module"
PLAIN, RECORDING, BACKWARD = "plain", "recording", "backward"


def host_s(machine: Machine, row: Row, beside: Beside | None, *, training: bool) -> tuple[float, float]:
    """Seconds of the host for one launch beside its kernel, and their spread; 0 where the profile knows none."""
    back = row.direction is Direction.BACKWARD
    way = PLAIN if not training else BACKWARD if back else RECORDING
    apart = [_of(machine, name, way) for name in (LAUNCH, VIEW, MODULE)]
    if beside is not None and row.operator not in machine.host and apart[0] is not None:
        if back:
            numbers = (1.0, beside.views_backward, 0.0)
        else:
            outside = 1.0 - beside.inner
            numbers = (outside, outside * beside.views_forward, beside.modules)
        known = [(number, value) for number, value in zip(numbers, apart, strict=True) if value is not None]
        seconds = sum(number * value.amount for number, value in known)
        return seconds, _spread(apart[0])
    found = _of(machine, row.operator, way) or _of(machine, ANY, way) or machine.dispatch
    return (0.0, 0.0) if found is None else (found.amount, _spread(found))


def _of(machine: Machine, operator: str, way: str) -> Value | None:
    ways = machine.host.get(operator, {})
    return ways.get(way) or ways.get(PLAIN)


def _spread(value: Value) -> float:
    return SPREAD_OF_GLUE if value.error is None else value.error / NINETY
