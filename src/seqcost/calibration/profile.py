"""From what a calibration told to a profile of this machine.

Peaks and bandwidths are the best that any kernel reached, so that nothing measured lies above the roofline. A point is
the quickest of its rounds' medians: a round that others disturbed does not count. How much whole rounds differ is the
profile's `stray`, which every prediction's interval includes. Not covered: profiles of GPUs, which are made of the
records of `benchmarks/h100.py`.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from seqcost.algebra.work import Direction, Kernel, Row
from seqcost.calibration.caches import Level
from seqcost.calibration.error import left_out
from seqcost.machines import Cache, Machine, Series, Value, Worth
from seqcost.measure.kernels.case import Case
from seqcost.prediction.interval import HALF, NINETY
from seqcost.prediction.kernels import Kernels
from seqcost.prediction.work import ANY

SOURCE = "seqcost calibrate"
SIZE_OF_CACHE = "the operating system; of the largest as much as additions in turn find room in (seqcost calibrate)"
TYPICAL = ("elementwise", "reduction", "copy")  # kernels whose smallest launch is all dispatch


@dataclass
class Told:
    """The lines of the worker, sorted."""

    rows: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    seconds: dict[int, list[Sequence[float]]] = field(default_factory=dict)
    fresh: Mapping[str, float] = field(default_factory=dict)
    pools: Sequence[tuple[int, float]] = ()
    glue: list[Mapping[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, lines: Iterable[Mapping[str, Any]]) -> "Told":
        """What came, in any order."""
        found = cls()
        for facts in lines:
            if facts.get("seconds") and "index" in facts:
                found.seconds.setdefault(facts["index"], []).append(facts["seconds"])
                if facts["row"]:
                    found.rows[facts["index"]] = facts["row"]
            elif "fresh" in facts:
                found.fresh = facts["fresh"]
            elif "pools" in facts:
                found.pools = facts["pools"]
            elif "glue" in facts:
                found.glue.append(facts["glue"])
        return found


def profile_of(
    told: Told,
    cases: Sequence[Case],
    *,
    threads: int,
    memory_bytes: int,
    levels: Sequence[Level],
    title: str,
    environment: Mapping[str, object],
) -> Machine:
    """The profile: series, peaks, bandwidths, what calls cost, and the profile's own error."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

    def value(amount: float, unit: str, error: float | None = None, what: str = SOURCE) -> Value:
        return Value(amount=amount, unit=unit, kind=Worth.MEASURED, source=what, date=now, error=error)

    series = tuple(_series(told, cases, now))
    dtypes = {case.dtype for case in cases}
    quickest = min(min(one.seconds) for one in series)
    peaks = {dtype: value(_best(series, "flops", dtype), "FLOP/s") for dtype in dtypes}
    levels = [*levels[:-1], replace(levels[-1], num_bytes=held(told.pools, levels[-1].num_bytes))] if levels else []
    bandwidths = _bandwidths(series, levels)
    machine = Machine(
        name="here",
        title=title,
        device="cpu",
        edition=now,
        threads=threads,
        memory=value(memory_bytes, "B", what="the operating system"),
        bandwidth=value(bandwidths[-1], "B/s"),
        peaks=peaks,
        caches=tuple(
            Cache(name=level.name, size=value(level.num_bytes, "B", what=SIZE_OF_CACHE), bandwidth=value(rate, "B/s"))
            for level, rate in zip(levels, bandwidths, strict=False)
        ),
        launch=value(quickest, "s"),
        dispatch=value(statistics.median(min(s.seconds) for s in series if s.kernel in TYPICAL), "s"),
        fresh=value(max(told.fresh["seconds"], 0.0) / told.fresh["bytes"], "s/B"),
        stray=value(_stray(told), "1"),
        series=series,
        environment=environment,
    )  # fmt: skip
    machine = replace(machine, host={ANY: _glue(told, machine, value)})
    return replace(machine, error=left_out(machine))


def _series(told: Told, cases: Sequence[Case], date: str) -> Iterable[Series]:
    found: dict[tuple[str, str, str, bool], dict[tuple[int, ...], tuple[float, ...]]] = {}
    for index, row in told.rows.items():
        case = cases[index]
        rounds = [statistics.median(seconds) for seconds in told.seconds[index]]
        every = sorted(second for seconds in told.seconds[index] for second in seconds)
        best = min(rounds)
        quarter = (len(every) - 1) // 4
        key = (row["kernel"], row["operator"], case.dtype, case.cold)
        point = (
            float(row["contraction"]),
            float(row["bytes"]),
            best,
            min(every[quarter], best),
            max(every[-1 - quarter], best),
        )
        found.setdefault(key, {}).setdefault(tuple(row["sizes"]), point)
    for (kernel, operator, dtype, cold), points in found.items():
        flops, moved, seconds, low, high = zip(*points.values(), strict=True)
        yield Series(
            kernel=kernel, operator=operator, direction=Direction.FORWARD, dtype=dtype, cold=cold, date=date,
            source=SOURCE, sizes=tuple(points), flops=flops, bytes=moved, seconds=seconds, low=low, high=high,
        )  # fmt: skip


def _best(series: Iterable[Series], column: str, dtype: str) -> float:
    return max(
        float(amount / seconds)
        for one in series
        if one.dtype == dtype
        for amount, seconds in zip(getattr(one, column), one.seconds, strict=True)
    )


def _bandwidths(series: Sequence[Series], levels: Sequence[Level]) -> list[float]:
    """The best rate of traffic that is too much for the level before; the last is that of main memory."""
    rates = [
        (moved, moved / seconds)
        for one in series
        for moved, seconds in zip(one.bytes, one.seconds, strict=True)
        if one.kernel not in (Kernel.GATHER, Kernel.SCATTER)  # rows of a table that are read again are in a cache
    ]
    bounds = [0.0, *(float(level.num_bytes) for level in levels)]
    return [max((rate for moved, rate in rates if moved > bound), default=rates[-1][1]) for bound in bounds]


def held(pools: Sequence[tuple[int, float]], most: int) -> int:
    """Bytes that the largest cache really holds for us: where an addition is half way between quickest and slowest.

    Neighbours on the same processor take their part of it. Half way is meant in the logarithm.
    """
    if not pools:
        return most
    quick, slow = min(seconds for _, seconds in pools), max(seconds for _, seconds in pools)
    middle = math.sqrt(quick * slow)
    for (below, before), (above, after) in pairwise(sorted(pools)):
        if before <= middle < after:
            part = math.log(middle / before) / math.log(after / before)
            return int(min(most, round(below * (above / below) ** part)))
    return most


def _stray(told: Told) -> float:
    """Standard deviation of a round's logarithm, by the median of how far two rounds are apart."""
    apart = [
        abs(math.log(statistics.median(first) / statistics.median(second)))
        for first, second, *_ in (found for found in told.seconds.values() if len(found) > 1)
    ]
    return statistics.median(apart) / (HALF * math.sqrt(2)) if apart else 0.0


def _glue(told: Told, machine: Machine, value: Any) -> dict[str, Value]:
    """What kernels do not explain of small models, a launch: without gradients, and in training both ways alike."""
    kernels = Kernels(machine, "float32" if "float32" in machine.peaks else next(iter(machine.peaks)))
    per_launch: dict[str, list[float]] = {"forward": [], "train": []}
    for found in told.glue:
        rows = [_row(fields) for fields in found["rows"] if fields["launches"]]
        kernel_s = sum(float(row.launches) * kernels.launch(row).seconds for row in rows)
        launches = sum(float(row.launches) for row in rows)
        per_launch[found["phase"]].append(max(found["seconds"] - kernel_s, 0.0) / launches)
    out: dict[str, Value] = {}
    for phase, ways in (("forward", ("plain",)), ("train", ("recording", "backward"))):
        middle = statistics.median(per_launch[phase])
        spread = statistics.pstdev(per_launch[phase]) / middle if middle else 0.0
        out |= {way: value(middle, "s", NINETY * spread) for way in ways}
    return out


def _row(fields: Mapping[str, Any]) -> Row:
    return Row(**{**fields, "kernel": Kernel(fields["kernel"]), "direction": Direction(fields["direction"]),
                  "sizes": tuple(fields["sizes"])})  # fmt: skip
