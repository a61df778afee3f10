"""What a calibration found, as a table and sentences."""

from collections.abc import Iterator, Mapping
from typing import Any

from seqcost.algebra.rendering import scaled, seconds
from seqcost.machines import Machine
from seqcost.report.table import Table


def plain(machine: Machine) -> dict[str, Any]:
    """A profile as plain data: its limits, and the error of each kind of kernel."""
    points: dict[str, int] = {}
    for series in machine.series:
        points[series.kernel] = points.get(series.kernel, 0) + len(series)
    return {
        "machine": machine.key,
        "title": machine.title,
        "threads": machine.threads,
        "peaks": {name: value.amount for name, value in machine.peaks.items()},
        "bandwidth": None if machine.bandwidth is None else machine.bandwidth.amount,
        "caches": {cache.name: cache.size.amount for cache in machine.caches},
        "dispatch_s": None if machine.dispatch is None else machine.dispatch.amount,
        "stray": None if machine.stray is None else machine.stray.amount,
        "points": sum(points.values()),
        "error": _error(machine.error.get("all")),
        "kernels": [
            {"kernel": kernel, "points": count, **_error(machine.error.get(kernel))} for kernel, count in points.items()
        ],
    }


def _error(found: tuple[float, float] | None) -> dict[str, float | None]:
    median, p90 = found or (None, None)
    return {"median": median, "p90": p90}


def tables(found: Mapping[str, Any]) -> list[Table]:
    """Its limits, and its error by kernel."""
    limits = [(f"products of {name}", scaled(rate, "FLOP/s")) for name, rate in found["peaks"].items()]
    limits.append(("main memory", scaled(found["bandwidth"], "B/s")))
    limits += [(f"{name} holds", scaled(size, "B")) for name, size in found["caches"].items()]
    limits.append(("an operator on next to nothing", seconds(found["dispatch_s"])))
    limits.append(("times stray from round to round by", f"{100 * found['stray']:.1f} %"))
    rows = [
        (row["kernel"], f"{row['points']:,}", _percent(row["median"]), _percent(row["p90"])) for row in found["kernels"]
    ]
    note = "error: of each point predicted from all others of its kernel, which are about twice as far as usual."
    return [
        Table.of(found["title"], ("<what", "at best"), limits),
        Table.of("kernels", ("<kernel", "points", "median error", "p90"), rows, note),
    ]


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f} %"


def sentences(found: Mapping[str, Any]) -> Iterator[str]:
    """What it is called from now on."""
    error = found["error"]
    yield (
        f"kept as {found['machine']}: {found['points']:,} points, error {_percent(error['median'])} at the median, "
        f"{_percent(error['p90'])} at the 90th percentile"
    )
