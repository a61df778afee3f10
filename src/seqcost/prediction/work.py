"""Rows of work × a machine → time: each row with its seconds, what bounds it and what that rests on; and their sum.

On a CPU whoever launches a kernel waits for it, so that times add: kernels, and beside each launch the glue of a
model's code. On a GPU the host runs ahead: the device's time and the host's pass side by side and the longer counts.
Not covered: kernels that overlap on several streams, and several devices.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from seqcost.algebra.work import Beside, Row
from seqcost.machines import Machine
from seqcost.prediction.host import host_s
from seqcost.prediction.interval import Interval, added, errors_of
from seqcost.prediction.kernels import Bound, Kernels
from seqcost.prediction.points import Basis
from seqcost.prediction.residence import Touched, faulted_bytes

SPREAD_OF_PAGES = 0.4
# How far whole models stray from predictions for other reasons than their kernels (Python between operators, layouts,
# neighbours): so fitted that 90 % of runs lie in their intervals. CPU: 480 runs of 17 models in one process each, whose
# error was 11 % at the median and 37 % at p90, docs/accuracy.md has more of them; GPU: 413 runs on an H100, see
# benchmarks/h100_accuracy.md. A TPU has no runs and takes the wider one.
SPREAD_OF_MODELS = {"cpu": 0.22, "gpu": 0.75, "tpu": 0.75}


class Part(StrEnum):
    """What a row's time consists of, beside the kernels of the profile."""

    GLUE = "glue"
    PAGES = "fresh memory"


@dataclass(frozen=True, slots=True)
class TimedRow:
    """A row and what all of its launches take."""

    row: Row
    seconds: Interval
    bound: Bound
    basis: Basis
    series: str
    kernels_s: float  # of the kernels themselves


@dataclass(frozen=True)
class Timed:
    """A run: its rows, and the seconds of all together."""

    rows: tuple[TimedRow, ...]
    seconds: Interval
    device_s: float  # of the kernels themselves
    host_s: float  # of whoever launches them, beyond what their kernels' times hold
    pages_s: float  # of memory that the system has to give first
    errors: Mapping[str, float]  # seconds by which what errs together strays, of the longer side of a GPU's run
    stray: float  # of the machine from run to run, whatever runs there
    spread_of_model: float  # of this model for other reasons than its kernels

    @property
    def spread_of_parts(self) -> float:
        """What is left of the spread without the machine's own and the model's."""
        return math.sqrt(max(0.0, self.seconds.spread**2 - self.stray**2 - self.spread_of_model**2))

    def share(self, of: Basis | Bound) -> float:
        """Share of the rows' time that rests on something, or is bound by it, 0 to 1."""
        whole = sum(row.seconds.mid for row in self.rows)
        return sum(row.seconds.mid for row in self.rows if of in (row.basis, row.bound)) / whole if whole else 0.0


def timed(
    rows: Sequence[Row],
    machine: Machine,
    dtype: str,
    *,
    training: bool,
    layers: int = 1,
    peak_bytes: float | None = None,
    resident_bytes: float = 0.0,
    beside: Beside | None = None,
) -> Timed:
    """What rows of work take on a machine.

    Parameters
    ----------
    rows
        Of one run, at sizes that are numbers.
    dtype
        The format in which products are made.
    training
        Whether gradients are recorded, which costs the host more.
    layers
        Equal layers that one row stands for (rows of a formula).
    peak_bytes
        Of all tensors at the fullest moment; None where that is not known: then of what is moved at once.
    resident_bytes
        Of what is there before and after the run.
    beside
        What the caller does beside launches; None where nobody counted it: then as much as on average.

    Raises
    ------
    BadMachine
        Where the profile has no peak for this data type, or no bandwidth.

    """
    kernels = Kernels(machine, dtype)
    launched = [row for row in rows if row.launches]
    moved = sum(float(row.bytes) for row in launched)
    touched = Touched(launched, moved if peak_bytes is None else peak_bytes, layers)
    swing = None if peak_bytes is None else peak_bytes - resident_bytes
    out: list[TimedRow] = []
    parts: list[tuple[str, float, float]] = []
    glue_s = glue_error = 0.0
    for row in launched:
        count = float(row.launches)
        again = _again(machine, beside) if touched.is_loop(row) else 1.0
        launch = kernels.launch(row, touched.reused(row), again)
        seconds = count * launch.seconds
        glue, spread = host_s(machine, row, beside, training=training)
        glue *= again
        glue_s += count * glue
        glue_error += count * glue * spread
        parts.append((launch.series, seconds, launch.spread))
        bound = Bound.LAUNCHES if waits(machine) and glue > launch.seconds else launch.bound
        out.append(
            TimedRow(row, Interval.around(seconds + (count * glue if waits(machine) else 0.0), launch.spread), bound,
                     launch.basis, launch.series, seconds)
        )  # fmt: skip
    device_s = sum(seconds for _, seconds, _ in parts)
    own = (machine.stray.amount if machine.stray else 0.0, SPREAD_OF_MODELS[machine.device])
    stray = math.hypot(*own)
    pages_s = 0.0
    if waits(machine):
        if machine.fresh is not None:
            pages_s = machine.fresh.amount * faulted_bytes(launched, swing)
        parts.append((Part.PAGES, pages_s, SPREAD_OF_PAGES))
        parts.append((Part.GLUE, glue_s, glue_error / glue_s if glue_s else 0.0))
        return Timed(tuple(out), added(parts, stray), device_s, glue_s, pages_s, errors_of(parts), *own)
    host = Interval.around(glue_s, glue_error / glue_s if glue_s else 0.0)
    device = added(parts)
    longer = Interval(*(max(pair) for pair in zip(_three(device), _three(host), strict=True)))
    longer = Interval.around(longer.mid, math.hypot(longer.spread, stray))
    errors = errors_of(parts if device_s >= glue_s else [(Part.GLUE, 1.0, glue_error)])
    return Timed(tuple(out), longer, device_s, glue_s, 0.0, errors, *own)


def _again(machine: Machine, beside: Beside | None) -> float:
    """The share of its time that a small launch in a loop takes: in PyTorch's own where most of a run is in one."""
    own = beside is not None and beside.inner > 0.5
    found = machine.inner if own and machine.inner is not None else machine.again
    return 1.0 if found is None else found.amount


def _three(interval: Interval) -> tuple[float, float, float]:
    return interval.low, interval.mid, interval.high


def waits(machine: Machine) -> bool:
    """Whether a call returns only when its kernel has ended."""
    return machine.device == "cpu"
