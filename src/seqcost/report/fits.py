"""An answer to "what fits?" as sentences and tables; reads plain rows."""

from collections.abc import Mapping
from typing import Any

from seqcost.algebra.rendering import scaled, seconds
from seqcost.report.measurements import span
from seqcost.report.memory import memory_tables
from seqcost.report.remedies import LETTERS, carried, remedy_tables
from seqcost.report.table import Table

Row = Mapping[str, Any]
_WHAT = {"saved_activations": "saved", "temporaries": "temporary", "gradients": "gradient"}


def sentences(answer: Row) -> list[str]:
    """What fits, what does not, and why it ends there."""
    letter, size, asked = LETTERS[answer["find"]], answer["size"], answer["asked"]
    said = []
    if asked is not None:
        verb = "fits" if asked["fits"] else "does not fit"
        said.append(
            f"{letter} = {asked['size']:,} {verb}: it takes {_bytes(asked['peak_bytes'])} of {answer['limit']}"
            + (f", and {seconds(asked['seconds'])} of {seconds(answer['time']['limit_s'])}." if answer["time"] else ".")
        )
    if answer["bound"] == "nothing":
        said.append(f"Every {answer['find']} fits {answer['limit']}: {_bytes(answer['peak_bytes'])} at any {letter}.")
    elif size is None:
        smallest = f"the smallest {letter}" if answer["find"] in ("D", "L") else f"{letter} = 1"
        said.append(f"Nothing fits {answer['limit']}: {smallest} takes {_bytes(answer['peak_bytes'])}.")
    elif answer["bound"] == "positions":
        said.append(
            f"The model takes {letter} = {size:,} at most, by its positions; that fits {answer['limit']} with "
            f"{_bytes(answer['peak_bytes'])}."
        )
    elif answer["bound"] == "memory":
        said.append(f"{letter} = {size:,} is the largest that fits {answer['limit']}.")
    if answer["time"] is not None and (size is not None or answer["bound"] == "nothing"):
        said += _timing(answer, letter)
    if asked is not None and not asked["fits"] and answer["remedies"] is not None:
        said += carried(answer)
    return said


def tables(answer: Row, *, most: int = 16) -> list[Table]:
    """The sizes on both sides of the limit, what the peak consists of, its largest tensors."""
    found = [_edge_table(answer), *_peak_tables(answer, most)]
    if answer["remedies"] is not None:
        found += remedy_tables(answer)
    return [table for table in found if table.rows]


def heading(answer: Row) -> str:
    """What was asked, in a line."""
    sizes = answer["sizes"]
    at = ", ".join(f"{letter} = {sizes[letter]:,}" for letter in ("B", "T", "S") if letter in sizes)
    step = f" with {answer['optimizer']}" if answer["optimizer"] else ""
    several = f", {answer['accumulate']} passes a step" if answer["accumulate"] > 1 else ""
    by = "formula" if answer["rung"] == "formula" else f"trace ({answer['rung']})"
    return f"{answer['target']} · {answer['phase']}{step}{several} · {answer['dtype']} · {at} · by {by}"


def _timing(answer: Row, letter: str) -> list[str]:
    """Whether it is the time that binds, and how far the ends of the prediction's interval reach."""
    time, size = answer["time"], answer["size"]
    took, limit = time["seconds"], seconds(time["limit_s"])
    interval = f"{seconds(took['mid'])} ({span(took['low'], took['high'])})"
    if answer["bound"] == "time":
        said = [
            f"{letter} = {size:,} is the largest that is predicted to take at most {limit} on {time['machine']}: "
            f"{interval}. It fits {answer['limit']}: the time binds."
        ]
    else:
        what = f"{letter} = {size:,}" if size is not None else f"The largest {letter} that was looked at"
        said = [f"{what} takes {interval} as predicted for {time['machine']}, within {limit}: the time does not bind."]
    if size is not None and (time["careful"], time["hopeful"]) != (size, size):
        careful, hopeful = ("none" if end is None else f"{end:,}" for end in (time["careful"], time["hopeful"]))
        said.append(
            f"That is by the middle of the prediction; by the high end of its 90 % interval {letter} = {careful}, by "
            f"the low end {letter} = {hopeful}."
        )
    return said


def _edge_table(answer: Row) -> Table:
    letter, time, asked = LETTERS[answer["find"]], answer["time"], answer["asked"]
    edges = [
        (answer["size"], answer["peak_bytes"], time and time["seconds"]["mid"]),
        (answer["next_size"], answer["next_peak_bytes"], time and time["next_seconds"] and time["next_seconds"]["mid"]),
        *([] if asked is None else [(asked["size"], asked["peak_bytes"], asked["seconds"])]),
    ]
    rows = []
    for size, peak, took in sorted({edge for edge in edges if None not in edge[:2]}):
        wrong = ["does not fit"] * (peak > answer["limit_bytes"])
        wrong += ["takes longer"] * (time is not None and took > time["limit_s"])
        verdict = ", ".join(wrong) or "fits"
        shown = [seconds(took)] if time else []
        rows.append((f"{size:,}", f"{peak:,}", scaled(peak, "B"), *shown, verdict))
    return Table.of("", (letter, "peak bytes", "", *(["time"] if time else []), "<"), rows)


def _peak_tables(answer: Row, most: int) -> list[Table]:
    if answer["memory"] is None:
        return []
    letter = LETTERS[answer["find"]]
    whole, *_ = memory_tables({"memory": answer["memory"], "sizes": {"T": answer["at"]}})
    whole = Table(f"at the peak of {letter} = {answer['at']:,}", whole.headings, whole.rows, whole.note)
    peak = answer["memory"]["peak_bytes"]
    rows = [
        (
            row["name"].split("::")[-1],
            row["path"] or "—",
            scaled(row["bytes"], "B"),
            f"{100 * row['bytes'] / max(peak, 1):.1f} %",
            f"{row['times']}×" * (row["times"] > 1) + f"[{','.join(map(str, row['shape']))}]",
            _WHAT.get(row["category"], row["category"]),
        )
        for row in answer["tensors"]
    ]
    return [whole, Table.of("largest tensors there", ("<made by", "<in", "bytes", "share", "<shape", "<"), rows[:most])]


def _bytes(size: int) -> str:
    return f"{scaled(size, 'B')} ({size:,} bytes)"


def flat_row(answer: Row) -> dict[str, object]:
    """CSV: one row."""
    keys = ("target", "phase", "dtype", "optimizer", "find", "rung", "limit_bytes", "size", "peak_bytes", "next_size",
            "next_peak_bytes", "bound")  # fmt: skip
    time = answer["time"] or {"limit_s": None, "seconds": {"mid": None}, "careful": None, "hopeful": None}
    sizes = {name: value for name, value in answer["sizes"].items() if name in ("B", "T", "S")}
    timing = {"limit_s": time["limit_s"], "seconds": time["seconds"]["mid"]}
    timing |= {key: time[key] for key in ("careful", "hopeful")}
    return {key: answer[key] for key in keys[:5]} | sizes | {key: answer[key] for key in keys[5:]} | timing
