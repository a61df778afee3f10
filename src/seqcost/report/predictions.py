"""Predictions as tables and sentences, and the roofline picture. Reads the plain rows of an answer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqcost.algebra.quantity import QUANTITIES
from seqcost.algebra.rendering import scaled, seconds
from seqcost.report.counts import amount_text
from seqcost.report.measurements import span
from seqcost.report.table import Table

Row = Mapping[str, Any]


def tables(answers: Sequence[Row], most: int) -> list[Table]:
    """Time and memory by length; of one length, the rows that take longest."""
    shown = [totals_table(answers)]
    return [*shown, rows_table(answers[0], most)] if len(answers) == 1 else shown


def totals_table(answers: Sequence[Row]) -> Table:
    """One row per length."""
    first = answers[0]
    rows = [
        (
            f"{row['sizes']['T']:,}",
            seconds(row["seconds"]["mid"]),
            span(row["seconds"]["low"], row["seconds"]["high"]),
            row["bound"],
            amount_text(row["peak_bytes"], QUANTITIES["peak memory"]),
            {True: "yes", False: "NO", None: "—"}[row["fits"]],
        )
        for row in answers
    ]
    title = (
        f"{first['target']}: {first['phase']}, predicted for {first['machine']} · B = {first['sizes']['B']:,} · "
        f"{first['dtype']}"
    )
    note = f"interval: 90 %; fits: into {scaled(first['memory_bytes'], 'B')}."
    return Table.of(title, ("T", "time", "interval", "<bound by", "peak", "<fits"), rows, note)


def rows_table(answer: Row, most: int) -> Table:
    """What takes longest, a row of work each."""
    rows = [
        (
            ".".join(part for part in (row["path"],) if part) or "—",
            row["operator"].removeprefix("_"),
            "×".join(map(str, row["sizes"])),
            f"{row['launches']:,}",
            seconds(row["seconds"]["mid"]),
            f"{100 * row['share']:.1f} %",
            row["bound"],
            row["basis"],
        )
        for row in answer["rows"][:most]
    ]
    headings = ("<where", "<operator", "<sizes", "launches", "time", "share", "<bound by", "<basis")
    left = len(answer["rows"]) - len(rows)
    note = f"{left:,} more rows take less; time: of all launches, with the calls around them." if left else ""
    return Table.of("where the time goes", headings, rows, note)


def sentences(answers: Sequence[Row]) -> Iterator[str]:
    """What the estimate rests on, what else it says, and how to check it."""
    first = answers[0]
    yield f"estimate basis: {first['basis']}"
    parts = first["parts"]
    if len(answers) == 1:
        said = [f"kernels {seconds(parts['kernels_s'])}", f"calls around them {seconds(parts['glue_s'])}"]
        if parts["fresh_memory_s"]:
            said.append(f"memory that the system gives first {seconds(parts['fresh_memory_s'])}")
        yield ", ".join(said)
    for answer in answers:
        if answer["fits"] is False:
            yield (
                f"T = {answer['sizes']['T']:,} does not fit: its peak is {scaled(answer['peak_bytes'], 'B')}, the "
                f"machine has {scaled(answer['memory_bytes'], 'B')}."
            )
    if first["check"]:
        yield f"check: {first['check']}"


def text(answer: Row) -> str:
    """A prediction as plain text."""
    interval = span(answer["seconds"]["low"], answer["seconds"]["high"])
    head = f"{answer['target']}, {answer['phase']}, T = {answer['sizes']['T']:,}: {seconds(answer['seconds']['mid'])}"
    return "\n".join([f"{head} ({interval}), bound by {answer['bound']}", *sentences([answer])])


def flat_row(answer: Row) -> dict[str, object]:
    """A row of CSV."""
    return {
        "target": answer["target"],
        "machine": answer["machine"],
        "phase": answer["phase"],
        "B": answer["sizes"]["B"],
        "T": answer["sizes"]["T"],
        "dtype": answer["dtype"],
        "low_s": answer["seconds"]["low"],
        "mid_s": answer["seconds"]["mid"],
        "high_s": answer["seconds"]["high"],
        "bound": answer["bound"],
        "peak_bytes": answer["peak_bytes"],
        "fits": answer["fits"],
    }
