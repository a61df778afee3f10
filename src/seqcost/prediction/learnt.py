"""What whole runs taught of a machine, put into a prediction: factors of its parts and of its phase, and the spread.

A run's time consists of its kernels, by what they do, of the calls around them and of fresh memory. Where runs have
taught it (a calibration's own models, or those on record by `seqcost calibrate --from-records`), each part takes its
factor times that of the phase, and how far whole models stray for other reasons is what the runs there showed, not what
those of other machines did. A factor belongs to the kernels beside which it was fitted: a calibration anew drops it.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

from seqcost.algebra.work import Kernel
from seqcost.machines import Learnt, Machine
from seqcost.machines.checks import PARTS
from seqcost.prediction.interval import Interval
from seqcost.prediction.work import Part, Timed, TimedRow, waits

PRODUCTS, ATTENTION, CONVOLUTIONS, RECURRENCES, STREAMS, COPIES, ROWS, CALLS, FRESH = PARTS
# Kernels that err alike in a model: by how their operands lie there, and what they find in caches.
PART_OF: Mapping[str, str] = {
    **dict.fromkeys((Kernel.PRODUCT, Kernel.BATCHED_PRODUCT, Kernel.FACTORISATION), PRODUCTS),
    **dict.fromkeys((Kernel.CONVOLUTION, Kernel.FFT), CONVOLUTIONS),
    **dict.fromkeys((Kernel.REDUCTION, Kernel.SCAN, Kernel.SOFTMAX, Kernel.NORM, Kernel.SORT), ROWS),
    **dict.fromkeys((Kernel.COPY, Kernel.GATHER, Kernel.SCATTER), COPIES),
    **dict.fromkeys((Kernel.ELEMENTWISE, Kernel.FILL, Kernel.RANDOM, Kernel.OTHER), STREAMS),
    Kernel.ATTENTION: ATTENTION,
    Kernel.RECURRENCE: RECURRENCES,
}
CLASSES: Mapping[str, str] = {"forward": "forward", "prefill": "forward", "train": "train", "decode": "decode"}


def parts_of(found: Timed) -> dict[str, float]:
    """Seconds of a run by part."""
    parts = dict.fromkeys(PARTS, 0.0) | {CALLS: found.host_s, FRESH: found.pages_s}
    for row in found.rows:
        parts[PART_OF[row.row.kernel]] += row.kernels_s
    return parts


def as_learnt(found: Timed, machine: Machine, dtype: str, phase: str) -> Timed:
    """The same run, nearer to what runs on this machine took; as it is where none have taught it."""
    learnt = machine.learnt.get(dtype)
    if learnt is None:
        return found
    factors = {part: factor_of(learnt, part, phase) for part in PARTS}
    parts = {part: seconds * factors[part] for part, seconds in parts_of(found).items()}
    host_s, pages_s = parts.pop(CALLS), parts.pop(FRESH)
    device_s = sum(parts.values())
    mid = device_s + host_s + pages_s if waits(machine) else max(device_s, host_s)
    errors = {group: error * factors[_part_of(group)] for group, error in found.errors.items()}
    relative = math.hypot(*errors.values()) / mid if waits(machine) and mid else found.spread_of_parts
    spread = learnt.spread.amount
    return replace(
        found,
        rows=tuple(
            replace(row, kernels_s=row.kernels_s * own, seconds=_scaled(row, own, factors[CALLS]))
            for row in found.rows
            for own in [factors[_part_of(row.row.kernel)]]
        ),
        seconds=Interval.around(mid, math.hypot(relative, found.stray, spread)) if mid else found.seconds,
        device_s=device_s,
        host_s=host_s,
        pages_s=pages_s,
        errors=errors,
        spread_of_model=spread,
    )


def factor_of(learnt: Learnt, part: str, phase: str) -> float:
    """How many times what the profile says a part takes in a phase; 1 of what nothing was learnt."""
    found = (learnt.parts.get(part), learnt.phases.get(CLASSES[phase]))
    return math.prod(value.amount for value in found if value is not None)


def _part_of(series: str) -> str:
    """Of a kernel, or of what errs together, which is named after its kernel."""
    if series in (Part.GLUE, Part.PAGES):
        return CALLS if series == Part.GLUE else FRESH
    return PART_OF[series.partition(":")[0]]


def _scaled(row: TimedRow, kernels: float, calls: float) -> Interval:
    """A row's time, of which the rest beside kernels is calls."""
    mid = row.kernels_s * kernels + (row.seconds.mid - row.kernels_s) * calls
    return Interval.around(mid, row.seconds.spread) if mid else row.seconds
