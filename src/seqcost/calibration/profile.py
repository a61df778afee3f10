"""From what a calibration told to a profile of this machine.

Peaks and bandwidths are the best that any kernel reached, so that nothing measured lies above the roofline. A point is
the median of all its launches, as a run that is judged is the median of its repetitions. How much whole rounds differ
is the profile's `stray`, which every prediction's interval includes. Not covered: profiles of GPUs, which are made of
the records of `benchmarks/h100.py`.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from seqcost.algebra.work import Direction, Kernel
from seqcost.calibration.caches import Level
from seqcost.calibration.error import left_out
from seqcost.calibration.from_records import FEWEST_TARGETS, learn
from seqcost.calibration.host import host_of
from seqcost.calibration.models import evidence
from seqcost.machines import Cache, Learnt, Machine, Series, Value, Worth
from seqcost.machines.values import OWN_MODELS
from seqcost.measure.kernels.case import Case
from seqcost.prediction.interval import HALF
from seqcost.prediction.work import SPREAD_OF_MODELS

SOURCE = "seqcost calibrate"
SIZE_OF_CACHE = "the operating system; of the largest as much as additions in turn find room in (seqcost calibrate)"
SPREAD_OF_OWN = 0.15  # of the models that teach, which are of plain parts
OF_OTHERS = "runs on other machines, see docs/accuracy.md"
SMALLEST_TOKENS = 8  # of models all of whose time is the caller's; see measure/kernels/models
TYPICAL = ("elementwise", "reduction", "copy")  # kernels whose smallest launch is all dispatch


@dataclass
class Told:
    """The lines of the worker, sorted."""

    rows: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    seconds: dict[int, list[Sequence[float]]] = field(default_factory=dict)
    fresh: Mapping[str, float] = field(default_factory=dict)
    pools: Sequence[tuple[int, float]] = ()
    again: Sequence[float] = ()
    inner: Sequence[float] = ()
    models: list[Mapping[str, Any]] = field(default_factory=list)

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
            elif "again" in facts:
                found.again, found.inner = facts["again"], facts["inner"]
            elif "model" in facts:
                found.models.append(facts["model"])
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
        again=value(min(statistics.median(told.again), 1.0), "1") if told.again else None,
        inner=value(min(statistics.median(told.inner), 1.0), "1") if told.inner else None,
        stray=value(_stray(told), "1"),
        series=series,
        environment=environment,
    )  # fmt: skip
    smallest = [one for one in told.models if one["T"] == SMALLEST_TOKENS]
    machine = replace(machine, host=host_of(smallest, machine, value))
    machine = replace(machine, error=left_out(machine))
    taught = {dtype: _learnt(told, machine, dtype, now) for dtype in dtypes}
    return replace(machine, learnt={dtype: learnt for dtype, learnt in taught.items() if learnt is not None})


def _learnt(told: Told, machine: Machine, dtype: str, now: str) -> Learnt | None:
    """What its own models teach, which run in float32; how far models of others stray is not known by them."""
    models = [one for one in told.models if one["T"] != SMALLEST_TOKENS]
    if dtype != "float32" or len({one["model"] for one in models}) < FEWEST_TARGETS:
        return None
    found = list(evidence(models, machine, dtype))
    lesson = learn(found, waits=True, spread=SPREAD_OF_OWN, date=now, source=OWN_MODELS)
    spread = Value(amount=SPREAD_OF_MODELS[machine.device], unit="1", kind=Worth.ASSUMED, source=OF_OTHERS, date=now)
    return replace(lesson.learnt, spread=spread)


def _series(told: Told, cases: Sequence[Case], date: str) -> Iterable[Series]:
    found: dict[tuple[str, str, str, int, bool], dict[tuple[int, ...], tuple[float, ...]]] = {}
    for index, row in told.rows.items():
        case = cases[index]
        every = sorted(second for seconds in told.seconds[index] for second in seconds)
        quarter = (len(every) - 1) // 4
        key = (row["kernel"], row["operator"], case.dtype, case.pool, case.again)
        point = (
            float(row["contraction"]),
            float(row["bytes"]),
            statistics.median(every),
            every[quarter],
            every[-1 - quarter],
        )
        found.setdefault(key, {}).setdefault(tuple(row["sizes"]), point)
    for (kernel, operator, dtype, pool, again), points in found.items():
        flops, moved, seconds, low, high = zip(*points.values(), strict=True)
        yield Series(
            kernel=kernel, operator=operator, direction=Direction.FORWARD, dtype=dtype, pool=pool, again=again,
            date=date, source=SOURCE, sizes=tuple(points), flops=flops, bytes=moved, seconds=seconds, low=low,
            high=high,
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
