"""A comparison as tables, plots, and one self-contained page. Reads the plain rows of an answer."""

import base64
import html
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from seqcost.algebra.quantity import QUANTITIES, Quantity, Told
from seqcost.algebra.rendering import scaled, seconds
from seqcost.extras import installed
from seqcost.report.counts import amount_text, by_what
from seqcost.report.families import family_panels, longest_table, many, measured_tables, verdicts_table
from seqcost.report.formulas import document
from seqcost.report.measurements import about, around, span, untold_rows
from seqcost.report.plots import Panel, Series, draw, to_png
from seqcost.report.sentences import LEGEND, legend, sentences, sizes_of
from seqcost.report.table import Table
from seqcost.writing import write_bytes, write_text

Row = Mapping[str, Any]


def counted(answer: Row) -> list[Quantity]:
    """What is compared without a run, as far as any target has it."""
    compared = [row for row in QUANTITIES.told(Told.COMPARED) if not row.measured]
    return [row for row in compared if any(point.get(row.name) is not None for point in answer["points"])]


def points_table(answer: Row) -> Table:
    """By formula and trace, one row per target and length."""
    columns, mixed = counted(answer), by_what(answer) != "by formula"
    rows = [
        [
            point["target"],
            f"{point['T']:,}",
            *([point["rung"]] if mixed else []),
            *(amount_text(point.get(row.name), row) for row in columns),
        ]
        for point in answer["points"]
    ]
    headings = ["<target", "T", *(["<by"] if mixed else []), *(row.heading for row in columns)]
    return Table.of(f"{answer['phase']}, {by_what(answer)}", headings, rows)


def measured_table(answer: Row) -> Table:
    """On this machine, one row per target and length."""
    rows = [_measured_row(point) for point in answer["points"] if "status" in point]
    pooled = any(point.get("num_processes") for point in answer["points"])
    note = f"± {BETWEEN if pooled else WITHIN}. Peak: allocated tensors; resident: the whole process, PyTorch included."
    headings = ("<target", "T", "time", "±", "peak", "resident", "<")
    return Table.of(f"{answer['phase']}, measured on this machine", headings, rows, note)


BETWEEN = "half the interval between processes"
WITHIN = "half the interval of the median"  # of an answer kept from before a job ran in several


def _measured_row(point: Row) -> list[str]:
    interval, median = point["interval_s"], point["median_s"]
    return [
        point["target"],
        f"{point['T']:,}",
        "—" if median is None else f"{seconds(median)}{'*' * bool(point.get('disturbed'))}",
        "" if interval is None else f"{50 * (interval[1] - interval[0]) / median:.0f} %",
        amount_text(point["peak_allocated_bytes"], QUANTITIES["peak memory"]),
        amount_text(point["peak_resident_bytes"], QUANTITIES["peak memory"]),
        "" if point["status"] == "ok" else str(point["status"]),
    ]


def foretold_table(answer: Row) -> Table:
    """Predicted for a machine, one row per target and length."""
    rows = [
        (
            point["target"],
            f"{point['T']:,}",
            seconds(point["predicted_s"][1]),
            span(*point["predicted_s"][::2]),
            point["predicted_bound"],
            {True: "yes", False: "NO", None: "—"}[point["fits"]],
        )
        for point in answer["points"]
        if point.get("predicted_s")
    ]
    machine = answer["machine"]
    note = f"interval: 90 %, of each by itself; fits: into {scaled(machine['memory_bytes'], 'B')}."
    title = f"{answer['phase']}, predicted for {machine['name']}"
    return Table.of(title, ("<target", "T", "time", "interval", "<bound by", "<fits"), rows, note)


def crossovers_table(answer: Row) -> Table:
    """Where one overtakes another; where none ever does, the order that holds at every length."""
    rows = [
        (
            QUANTITIES[c["quantity"]].title,
            f"{c['rising']} over {c['other']}",
            f"T = {c['length']:,}" if c["how"] == "solved" else about(c),
            c["how"] if c["how"] == "solved" else around(c),
        )
        for c in answer["crossovers"]
    ]
    rows += untold_rows(answer)
    rows += [(QUANTITIES[q].title, order, where, "solved") for q, order, where in _orders(answer["dominances"])]
    return Table.of("crossovers: from this length on the first costs more", ("<in", "<who", "<from", "<how"), rows)


def _orders(dominances: Sequence[Row]) -> Iterator[tuple[str, str, str]]:
    """`a over b over c` for each quantity in which all pairs are ordered, and where; else the pairs."""
    for quantity in dict.fromkeys(d["quantity"] for d in dominances):
        found = [d for d in dominances if d["quantity"] == quantity]
        pairs = [(d["costly"], d["cheap"]) for d in found]
        wins = Counter(costly for costly, _ in pairs)
        ordered = sorted({name for pair in pairs for name in pair}, key=lambda name: -wins[name])
        if len(pairs) == len(ordered) * (len(ordered) - 1) // 2:
            yield quantity, " over ".join(ordered), _from(max(d.get("start", 1) for d in found))
        else:
            yield from ((quantity, f"{d['costly']} over {d['cheap']}", _from(d.get("start", 1))) for d in found)


def _from(start: int) -> str:
    return "every T" if start == 1 else f"T ≥ {start:,}"


def agreement_table(answer: Row) -> Table:
    """Formula against trace."""
    rows = [
        (
            a["target"],
            f"{a['length']:,}",
            f"{a['formula_flops']:,}",
            f"{a['traced_flops']:,}",
            "yes" if a["agrees"] else "NO",
            a["rung"],
        )
        for a in answer["agreement"]
    ]
    return Table.of(
        "does the code cost what the formula says?",
        ("<target", "T", "formula FLOPs", "traced FLOPs", "<equal", "<rung"),
        rows,
    )


def complexity_table(answer: Row) -> Table:
    """Vaswani et al., Table 1, from the formulas."""
    rows = [
        (
            r["target"],
            r["complexity"],
            r["leading_flops"],
            r["sequential"],
            r["path"],
        )
        for r in answer["complexity"]
    ]
    return Table.of(
        "one layer, for long sequences (after Vaswani et al. 2017, table 1)",
        ("<target", "<complexity", "<leading FLOPs", "<sequential operations", "<maximum path"),
        rows,
        legend([" ".join(row[1:]) for row in rows]),
    )


def sizes_table(answer: Row) -> Table:
    """What is compared with what: parameters and sizes."""
    params = {point["target"]: point["params"] for point in answer["points"]}
    rows = [(name, scaled(params[name], ""), sizes_of(answer, name)) for name in answer["targets"]]
    shown = [letter for letter in LEGEND if any(f"{letter} = " in row[2] for row in rows)]
    return Table.of("what is compared", ("<target", "parameters", "<sizes"), rows, legend(shown))


def tables(answer: Row) -> list[Table]:
    """All tables of a comparison, in reading order."""
    foretold = [foretold_table(answer)] if answer.get("machine") else []
    if many(answer):
        out = [longest_table(answer), *foretold, *measured_tables(answer), verdicts_table(answer)]
        out.append(complexity_table(answer))
        return [*out, agreement_table(answer)] if answer["agreement"] else out
    measured = [measured_table(answer)] if any("status" in point for point in answer["points"]) else []
    out = [sizes_table(answer), points_table(answer), *foretold, *measured]
    out += [crossovers_table(answer), complexity_table(answer)]
    out = [table for table in out if table.rows]
    return [*out, agreement_table(answer)] if answer["agreement"] else out


def panels(answer: Row) -> list[Panel]:
    """One panel per quantity that any target has."""
    return [Panel(row.title, row.symbol, series, _marks(answer, row, series)) for row, series in _quantities(answer)]


def _quantities(answer: Row) -> Iterator[tuple[Quantity, list[Series]]]:
    for row in QUANTITIES.told(Told.COMPARED):
        series = [s for name in answer["targets"] if (s := _series(answer, name, row.column)) is not None]
        if series:
            yield row, series


def _series(answer: Row, name: str, key: str) -> Series | None:
    points = [p for p in answer["points"] if p["target"] == name and p.get(key)]
    if not points:
        return None
    if key == "predicted_s":
        least, middle, most = zip(*(p[key] for p in points), strict=True)
        return Series(name, [p["T"] for p in points], middle, least, most)
    low: list[float] = []
    high: list[float] = []
    if key == "median_s" and all(p["interval_s"] for p in points):
        low, high = ([p["interval_s"][i] for p in points] for i in (0, 1))
    return Series(name, [p["T"] for p in points], [float(p[key]) for p in points], low, high)


def _marks(answer: Row, quantity: Quantity, series: Sequence[Series]) -> list[tuple[float, float, str]]:
    first, last = min(answer["lengths"]), max(answer["lengths"])
    out = []
    for c in answer["crossovers"]:
        if c["quantity"] == quantity.name and first < c["length"] < last:
            curve = next(s for s in series if s.name == c["rising"])
            out.append((c["length"], _interpolated(curve, c["length"]), f"{c['length']:,.0f}"))
    return out


def _interpolated(curve: Series, x: float) -> float:
    """Height of a curve between its points, along the straight line of the plot."""
    points = list(zip(curve.x, curve.y, strict=True))
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 <= x <= x1:
            return y0 * math.exp(math.log(y1 / y0) * math.log(x / x0) / math.log(x1 / x0))
    return curve.y[-1]


def write_report(answer: Row, folder: Path, *, environment: Mapping[str, Any] | None = None) -> Path:
    """`index.html` (self-contained) and one PNG per panel; returns the page's path. No pictures without matplotlib."""
    shown = []
    drawn = installed("matplotlib")
    for title, png in pictures(answer) if drawn else ():
        name = "".join(c if c.isalnum() else "-" for c in title.lower()).strip("-")
        write_bytes(folder / f"{name}.png", png)
        shown.append((title, base64.b64encode(png).decode()))
    if drawn and not many(answer):
        write_bytes(folder / "overview.png", to_png(draw(panels(answer), title=", ".join(answer["targets"]))))
    images = "".join(f'<img alt="{html.escape(title)}" src="data:image/png;base64,{data}">' for title, data in shown)
    where = ""
    if environment:
        facts = ", ".join(
            f"{key.replace('_', ' ')} {value}" for key, value in environment.items() if value not in (None, ())
        )
        where = f'<p class="note">Measured on: {html.escape(facts)}.</p>'
    body = "".join(f'<div class="scroll">{table.to_html()}</div>' for table in tables(answer))
    title = f"{_headline(answer)} · {answer['phase']}"
    plots = f"<div class='panels'>{images}</div>"
    answered = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences(answer))
    page = document(f"seqcost compare: {title}", answered + where + (body + plots if many(answer) else plots + body))
    write_text(folder / "index.html", page)
    return folder / "index.html"


def _headline(answer: Row) -> str:
    names = answer["targets"]
    return f"{len(names)} architectures" if many(answer) else ", ".join(names)


def pictures(answer: Row) -> Iterator[tuple[str, bytes]]:
    """Title and PNG: one picture per quantity; of many targets one panel per family."""
    if not many(answer):
        yield from ((panel.title, to_png(draw([panel], columns=1))) for panel in panels(answer))
        return
    for row, series in _quantities(answer):
        yield row.title, to_png(draw(family_panels(answer, series, row.symbol), title=row.title))
