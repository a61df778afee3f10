"""Machines as a list, and one machine with all its values. Memory is in GB as data sheets have it, caches in MiB."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqcost.algebra.rendering import scaled, seconds
from seqcost.machines import Machine, Value, Worth
from seqcost.machines.shelf import HERE
from seqcost.report.table import Table

Row = Mapping[str, Any]

NONE = "—"
DEVICES = ("gpu", "tpu", "cpu")  # in the list
SHOWN = ("bfloat16", "float32")  # peaks in the list
NOTE = (
    "memory in GB; bf16, fp32: TFLOP/s of dense products. worth: measured; said by the maker (datasheet); or partly "
    "worked out (assumed). seqcost machines NAME has every value with its source, seqcost calibrate adds this machine."
)


def listed(machine: Machine) -> dict[str, Any]:
    """One machine in the list."""
    return {
        "name": machine.name,
        "edition": machine.edition,
        "title": machine.title,
        "device": machine.device,
        "threads": machine.threads,
        "memory_bytes": int(machine.memory.amount),
        "bandwidth": _amount(machine.bandwidth),
        "peaks": {name: value.amount for name, value in machine.peaks.items()},
        "worth": worth(machine),
        "points": sum(map(len, machine.series)),
    }


def worth(machine: Machine) -> str:
    """Measured where kernels were timed, else what its peaks are: assumed as soon as one of them is."""
    if machine.is_measured:
        return Worth.MEASURED.value
    kinds = {value.kind for value in (*machine.peaks.values(), machine.memory)}
    return next(kind.value for kind in (Worth.ASSUMED, Worth.DATASHEET, Worth.MEASURED) if kind in kinds)


def flat(row: Row) -> dict[str, object]:
    """The same as one row of CSV: each peak in a column of its own."""
    return {
        **{key: value for key, value in row.items() if key != "peaks"},
        **{f"peak_{name}": peak for name, peak in row["peaks"].items()},
    }


def list_table(rows: Sequence[Row]) -> Table:
    """One line a machine, this one first, then those of a kind together."""
    lines = [
        (
            row["name"],
            row["device"],
            _short(row["memory_bytes"], 1e9),
            _short(row["bandwidth"], 1e9),
            *(_short(row["peaks"].get(name), 1e12) for name in SHOWN),
            row["worth"],
            row["edition"][: len("2026-11-27")],
        )
        for row in sorted(rows, key=lambda row: (row["name"] != HERE, DEVICES.index(row["device"])))
    ]
    headings = ("<name", "<device", "memory", "GB/s", "bf16", "fp32", "<worth", "<edition")
    return Table.of("", headings, lines, NOTE)


def plain(machine: Machine) -> dict[str, Any]:
    """All of one machine as plain data; of its series what they are of and how many points they have."""
    return {
        **listed(machine),
        "machine": machine.key,
        "aliases": list(machine.aliases),
        "values": [
            {
                "value": place,
                "amount": value.amount,
                "unit": value.unit,
                "worth": value.kind.value,
                "error": value.error,
                "source": value.source,
                "date": value.date,
            }
            for place, value in machine.values()
        ],
        "series": [
            {
                "kernel": one.kernel,
                "operator": one.operator,
                "direction": one.direction,
                "dtype": one.dtype,
                "pool_bytes": one.pool,
                "again": one.again,
                "causal": one.causal,
                "tf32": one.tf32,
                "points": len(one),
                "source": one.source,
                "date": one.date,
            }
            for one in machine.series
        ],
        "error": {name: {"median": median, "p90": p90} for name, (median, p90) in machine.error.items()},
        "environment": dict(machine.environment),
        "learnt": {
            dtype: {
                "runs": learnt.runs,
                "num_runs": learnt.num_runs,
                "num_targets": learnt.num_targets,
                "before": dict(zip(("median", "p90"), learnt.before, strict=True)),
                "after": dict(zip(("median", "p90"), learnt.after, strict=True)),
            }
            for dtype, learnt in machine.learnt.items()
        },
    }


def tables(found: Row) -> Iterator[Table]:
    """Every value; then what was timed, where something was."""
    numbers = _numbered(found)
    lines = [
        (
            row["value"],
            _text(row["value"], row["amount"], row["unit"]),
            NONE if row["error"] is None else f"{100 * row['error']:.0f} %",
            row["worth"],
            str(numbers[row["source"], row["date"]]),
        )
        for row in found["values"]
    ]
    title = f"{found['title']} · {found['machine']}"
    if any(row["error"] is not None for row in found["values"]):
        yield Table.of(title, ("<value", "amount", "±", "<worth", "from"), lines)
    else:
        kept = [(value, amount, kind, number) for value, amount, _, kind, number in lines]
        yield Table.of(title, ("<value", "amount", "<worth", "from"), kept)
    if found["series"]:
        yield _kernels_table(found)


def _kernels_table(found: Row) -> Table:
    lines = []
    for kernel in dict.fromkeys(row["kernel"] for row in found["series"]):
        rows = [row for row in found["series"] if row["kernel"] == kernel]
        points = sum(row["points"] for row in rows)
        lines.append(
            (kernel, str(len({row["operator"] for row in rows})), f"{points:,}", *_errors(found["error"].get(kernel)))
        )
    if len(lines) > 1:
        lines.append(("all", "", f"{found['points']:,}", *_errors(found["error"].get("all"))))
    note = "error: of each point predicted from all others of its kernel, which are about twice as far as usual."
    return Table.of("kernels that were timed", ("<kernel", "operators", "points", "median error", "p90"), lines, note)


def _errors(found: Row | None) -> tuple[str, str]:
    return (NONE, NONE) if found is None else (f"{100 * found['median']:.1f} %", f"{100 * found['p90']:.1f} %")


def sentences(found: Row) -> Iterator[str]:
    """Where its values are from, by number; how else it is called."""
    for (source, date), number in _numbered(found).items():
        yield f"{number}: {source} ({date})"
    for dtype, learnt in found["learnt"].items():
        before, after = (" and ".join(_errors(learnt[key])) for key in ("before", "after"))
        yield (
            f"learnt from {learnt['runs']} in {dtype}: of those held out, predictions erred by {after} (median and "
            f"p90), by kernels alone by {before}"
        )
    if found["aliases"]:
        yield f"also called {', '.join(found['aliases'])}"


def _numbered(found: Row) -> dict[tuple[str, str], int]:
    named = dict.fromkeys((row["source"], row["date"]) for row in (*found["values"], *found["series"]))
    return {source: number for number, source in enumerate(named, 1)}


def _amount(value: Value | None) -> float | None:
    return None if value is None else value.amount


def _short(amount: float | None, unit: float) -> str:
    """Three digits, at least those before the point."""
    if amount is None:
        return NONE
    size = amount / unit
    return f"{size:,.0f}" if size >= 100 else f"{size:.3g}"


def _gigabytes(amount: float) -> str:
    return f"{amount / 1e9:,.3g} GB" if amount < 1e12 else f"{amount / 1e12:,.3g} TB"


def _text(place: str, amount: float, unit: str) -> str:
    if place == "memory":
        return f"{_gigabytes(amount)} ({scaled(amount, 'B')})"
    if unit == "s":
        return seconds(amount)
    if unit == "1":
        return f"{100 * amount:.3g} %"
    return f"{amount:.3g} {unit}" if amount < 1 else scaled(amount, unit)
