"""A comparison of many targets, told so that a person can read it: by family, each beside the first target.

Eight curves can be told apart in one plot; above that the plot becomes small multiples, one panel per family, the other
targets in grey behind. Of the crossovers those with the first target are shown; the answer (`--json`) has all pairs.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.algebra.rendering import scaled, seconds
from seqcost.report.counts import amount_text, by_what
from seqcost.report.plots import COLOURS, Panel, Series
from seqcost.report.table import Table

Row = Mapping[str, Any]


def many(answer: Row) -> bool:
    """Whether there are more targets than one plot can show."""
    return len(answer["targets"]) > len(COLOURS)


def grouped(answer: Row) -> dict[str, list[str]]:
    """Targets by family, in the order in which they were named."""
    out: dict[str, list[str]] = {}
    for name in answer["targets"]:
        out.setdefault(answer["families"][name], []).append(name)
    return out


def family_panels(answer: Row, series: Sequence[Series], unit: str) -> list[Panel]:
    """One panel per family: its curves in colour, the first target dashed, all others grey."""
    by_name = {curve.name: curve for curve in series}
    reference = by_name.get(answer["targets"][0])
    out = []
    for family, names in grouped(answer).items():
        shown = [by_name[name] for name in names if name in by_name and by_name[name] is not reference]
        if shown:
            behind = [curve for curve in series if curve not in shown and curve is not reference]
            out.append(Panel(family, unit, shown, behind=behind, reference=reference))
    return out


def longest_table(answer: Row) -> Table:
    """What each costs at the longest length, by formula and measured."""
    T = max(answer["lengths"])
    points = {point["target"]: point for point in answer["points"] if point["T"] == T}
    counted = QUANTITIES.told(Told.COUNT, Told.COMPARED)
    columns = [q for q in (QUANTITIES["params"], *counted) if any(p.get(q.name) is not None for p in points.values())]
    rows = _by_family(answer, lambda name: [amount_text(points[name].get(q.name), q) for q in columns])
    headings = ("<target", *(q.heading for q in columns))
    return Table.of(f"{answer['phase']}, {by_what(answer)}, at T = {T:,}", headings, rows)


def measured_tables(answer: Row) -> list[Table]:
    """Median time and peak of allocated memory, one column per length."""
    found = {(point["target"], point["T"]): point for point in answer["points"] if "status" in point}
    if not found:
        return []

    def table(title: str, key: str, text: Callable[[Any], str]) -> Table:
        def cells(name: str) -> list[str]:
            return [_run_cell(found.get((name, T)), key, text) for T in answer["lengths"]]

        return Table.of(title, ("<target", *(f"{T:,}" for T in answer["lengths"])), _by_family(answer, cells))

    return [
        table("median time, measured on this machine", "median_s", seconds),
        table("peak of allocated tensors, measured on this machine", "peak_allocated_bytes", lambda n: scaled(n, "B")),
    ]


def _by_family(answer: Row, cells: Callable[[str], Sequence[str]]) -> list[tuple[str, ...]]:
    """Rows of all targets, each family under its name."""
    rows: list[tuple[str, ...]] = []
    for family, names in grouped(answer).items():
        found = [(f"  {name}", *cells(name)) for name in names]
        rows += [(family, *[""] * (len(found[0]) - 1)), *found]
    return rows


def _run_cell(point: Row | None, key: str, text: Callable[[Any], str]) -> str:
    if point is None:
        return ""
    if point["status"] != "ok":
        return str(point["status"])
    if point[key] is None:
        return "—"
    return f"{text(point[key])}{'*' * (key == 'median_s' and bool(point.get('disturbed')))}"


def verdicts_table(answer: Row) -> Table:
    """For each target the lengths at which it costs less than the first one."""
    reference = answer["targets"][0]
    columns = [row for row in QUANTITIES.told(Told.VERDICT) if any(_known(answer, row.name))]
    rows = _by_family(
        answer,
        lambda name: [
            _cheaper(answer, quantity.name, name, reference) if name != reference else "" for quantity in columns
        ],
    )
    note = (
        "T at which it costs less. FLOPs and bytes are solved from the formulas, time and peak interpolated between "
        "measured lengths at which the intervals are apart. —: no formula in T, nothing to compare, or not told apart."
    )
    return Table.of(f"cheaper than {reference}", ("<target", *(f"<{row.heading}" for row in columns)), rows, note)


def _known(answer: Row, quantity: str) -> Iterator[bool]:
    yield from (c["quantity"] == quantity for c in (*answer["crossovers"], *answer["dominances"]))


def _cheaper(answer: Row, quantity: str, name: str, reference: str) -> str:
    """`from 513`, `to 40`, `41–512`, `always`, `never`."""
    pair = {name, reference}
    changes = sorted(
        (c for c in answer["crossovers"] if c["quantity"] == quantity and {c["rising"], c["other"]} == pair),
        key=lambda c: float(c["length"]),
    )
    if not changes:
        return _throughout(answer, quantity, name, reference)
    spans: list[str] = []
    start: int | None = None if changes[0]["rising"] == reference else 0
    for change in changes:
        at = math.ceil(change["length"])
        if change["rising"] == reference:
            start = at
        elif start is not None:
            spans.append(f"{start:,}–{at - 1:,}" if start else f"to {at - 1:,}")
            start = None
    return ", ".join([*spans, *([f"from {start:,}"] if start is not None else [])])


def _throughout(answer: Row, quantity: str, name: str, reference: str) -> str:
    for d in answer["dominances"]:
        if d["quantity"] == quantity and {d["costly"], d["cheap"]} == {name, reference}:
            return "always" if d["cheap"] == name else "never"
    for row in answer.get("standings", ()):
        if row["quantity"] == quantity and {row["one"], row["other"]} == {name, reference}:
            cheaper, dearer = (row["below"], row["above"]) if row["one"] == name else (row["above"], row["below"])
            if not row["untold"] and (cheaper or dearer):
                return "never" if dearer else "always"
    return "—"
