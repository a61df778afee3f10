"""Measured runs as tables and sentences: times with their intervals, what was predicted, who is told apart from whom.

Reads the plain rows of an answer.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqcost.algebra.quantity import QUANTITIES
from seqcost.algebra.rendering import scaled, seconds
from seqcost.records.reference import SLOW
from seqcost.report.counts import amount_text
from seqcost.report.sentences import cheapest, remarks
from seqcost.report.table import Table

Row = Mapping[str, Any]

DISTURBED, OUTSIDE = "*", "!"  # behind a time, behind a ratio


def tables(answer: Row) -> list[Table]:
    """All tables of a measurement, in reading order."""
    return [table for table in (runs_table(answer), crossovers_table(answer)) if table.rows]


def runs_table(answer: Row) -> Table:
    """One row per target and length; columns of what was predicted where anything was."""
    points = answer["points"]
    foretold = any(point["predicted_s"] for point in points)
    headings = ["<target", "T", "time", "interval"]
    headings += ["predicted", "ratio"] if foretold else []
    headings += ["peak", "of predicted"] if foretold else ["peak"]
    headings += ["resident", "processes", "reference"]
    rows = [_cells(point, foretold=foretold) for point in points]
    threads = f"{answer['threads']} thread{'s' * (answer['threads'] > 1)}"
    title = f"{answer['phase']}, measured on this machine · B = {answer['B']:,} · {answer['dtype']} · {threads}"
    return Table.of(title, headings, rows, " ".join(_notes(answer)))


def _cells(point: Row, *, foretold: bool) -> list[str]:
    median = point["median_s"]
    time = str(point["status"]) if median is None else f"{seconds(median)}{DISTURBED * bool(point['disturbed'])}"
    ratio = f"{point['ratio']:.2f}{OUTSIDE * bool(point['outside'])}" if point["ratio"] is not None else "—"
    peak = amount_text(point["peak_allocated_bytes"], QUANTITIES["peak memory"])
    return [
        point["target"],
        f"{point['T']:,}",
        time,
        "" if point["interval_s"] is None else span(*point["interval_s"]),
        *(["—" if point["predicted_s"] is None else span(*point["predicted_s"][::2]), ratio] if foretold else []),
        *([peak, "—" if point["peak_ratio"] is None else f"{point['peak_ratio']:.3f}"] if foretold else [peak]),
        amount_text(point["peak_resident_bytes"], QUANTITIES["peak memory"]),
        str(point["num_processes"]),
        "" if point["reference_ratio"] is None else f"{point['reference_ratio']:.2f}",
    ]


def span(low: float, high: float) -> str:
    """`11.9–12.8 ms`: both in the unit of the higher one."""
    top = seconds(high)
    unit = top.rpartition(" ")[2]
    factor = {"s": 1.0, "ms": 1e3, "µs": 1e6, "ns": 1e9}[unit]
    number = float(f"{low * factor:.3g}")
    return f"{number:g}–{top}"


def _notes(answer: Row) -> Iterator[str]:
    """What the columns mean, as far as they are there."""
    points = answer["points"]
    bases = list(dict.fromkeys(p["interval_basis"] for p in points if p["interval_s"] is not None))
    if bases:
        yield f"time: median of the processes' medians; interval: {' or '.join(bases)}."
    if any(point["predicted_s"] for point in points):
        yield "ratio: measured over predicted."
    if any(point["outside"] for point in points):
        yield f"{OUTSIDE} all of the measured interval lies outside of the predicted one."
    yield "peak: allocated tensors; resident: the whole process, PyTorch included."
    if any(point["reference_ratio"] is not None for point in points):
        yield "reference: times their best on this machine that fixed kernels took beside the runs."


def crossovers_table(answer: Row) -> Table:
    """Where one overtakes another as far as they are told apart, and where they are not."""
    rows = [
        (QUANTITIES[c["quantity"]].title, f"{c['rising']} over {c['other']}", about(c), around(c))
        for c in answer["crossovers"]
    ]
    rows += untold_rows(answer)
    return Table.of("crossovers: from this length on the first costs more", ("<in", "<who", "<from", "<how"), rows)


def about(crossover: Row) -> str:
    """`T ≈ 612 (480 to 790)`."""
    text = f"T ≈ {crossover['length']:,.0f}"
    least, most = crossover.get("length_low"), crossover.get("length_high")
    if least is None and most is None:  # of an answer kept before there was one
        return text
    if least is None or most is None:
        return f"{text} (at least {least:,.0f})" if most is None else f"{text} (at most {most:,.0f})"
    return f"{text} ({least:,.0f} to {most:,.0f})"


def around(crossover: Row) -> str:
    """Between which lengths, and at which of those between the two are not told apart."""
    low, high = crossover["low"], crossover["high"]
    if low is None or high is None:
        sure = f"up to {low:,}" if high is None else f"from {high:,} on"
        return f"{crossover['how']}; told apart {sure}"
    text = f"{crossover['how']} between {low:,} and {high:,}"
    untold = crossover.get("untold")
    return f"{text}; not told apart at {_listed(untold)}" if untold else text


def untold_rows(answer: Row) -> list[tuple[str, str, str, str]]:
    """Pairs that are not told apart at lengths that lie in no crossover, and why; those of one process have no row."""
    out = []
    for row in answer.get("standings", ()):
        named = {T for c in answer["crossovers"] if _is_of(c, row) for T in c.get("untold") or ()}
        left = [T for T in row["untold"] if T not in named]
        if left and (row["below"] or row["above"] or "one process" not in row["why"]):
            who = f"{row['one']} and {row['other']}"
            out.append((QUANTITIES[row["quantity"]].title, who, "—", f"{_untold(left, row)}: {row['why']}"))
    return out


def _is_of(crossover: Row, standing: Row) -> bool:
    pair = {crossover["rising"], crossover["other"]}
    return crossover["quantity"] == standing["quantity"] and pair == {standing["one"], standing["other"]}


def _untold(lengths: Sequence[int], standing: Row) -> str:
    """`not told apart between A and B tokens`, where these are all that were measured there; else each by itself."""
    first, last = min(lengths), max(lengths)
    measured = (*standing["below"], *standing["above"], *standing["untold"])
    if len(lengths) > 1 and sorted(T for T in measured if first <= T <= last) == sorted(lengths):
        return f"not told apart between {first:,} and {last:,} tokens"
    return f"not told apart at {_listed(lengths)} tokens"


def _listed(lengths: Sequence[int]) -> str:
    *before, last = (f"{T:,}" for T in lengths)
    return f"{', '.join(before)} and {last}" if before else last


def sentences(answer: Row) -> list[str]:
    """Who costs least, and what to mind: the answer first."""
    first = cheapest(answer) if len(answer["targets"]) > 1 else []
    return [*first, *_floor(answer), *remarks(answer), *_outside(answer), *_slow(answer)]


def _floor(answer: Row) -> Iterator[str]:
    floor = answer["floor"]
    if floor is not None:
        yield (
            f"One process more would stray from these times by {100 * floor['median']:.2g} % at the median, "
            f"{100 * floor['p90']:.2g} % at the 90th percentile (of {floor['num_runs']:,} runs)."
        )


def _outside(answer: Row) -> Iterator[str]:
    points = answer["points"]
    foretold = [point for point in points if point["outside"] is not None]
    outside = [point for point in foretold if point["outside"]]
    if outside:
        yield (
            f"{len(outside)} of {len(foretold)} runs lie wholly outside of what was predicted for them (marked "
            f"{OUTSIDE}); seqcost calibrate makes the machine's profile anew."
        )


def _slow(answer: Row) -> Iterator[str]:
    """Of runs that no process here disturbed: of the others another sentence tells."""
    most = max((p["reference_ratio"] or 0.0 for p in answer["points"] if not p["disturbed"]), default=0.0)
    if most >= SLOW:
        yield (
            f"The reference kernels took up to {most:.1f} times their best on this machine: something that its own "
            "processes do not show (neighbours on the same host, a lower clock) made runs longer."
        )


def done_text(done: Any) -> str:
    """A run that has just ended, in a line: `3 of 24: lstm, forward, B 1, T 512, …: 12.3 ms`."""
    run = done.run
    told = run.reason.rstrip(".") if run.median_s is None else seconds(run.median_s)
    if run.peak_allocated_bytes is not None:
        told += f", peak {scaled(run.peak_allocated_bytes, 'B')}"
    if run.is_disturbed and run.median_s is not None:
        told += f", others kept {run.other_cores:g} cores busy{': again' * done.again}"
    return f"job {done.number} of {done.of}: {run.job}: {told}"
