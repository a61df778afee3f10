"""What would make more fit, as tables: each remedy, the Pareto front, what does not apply. Reads plain rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from seqcost.algebra.rendering import scaled, seconds
from seqcost.report.table import Table

Row = Mapping[str, Any]
LETTERS = {"length": "T", "batch": "B", "D": "D", "L": "L"}
_ANOTHER = "another model"


def remedy_tables(answer: Row) -> list[Table]:
    """Single remedies, those that reach furthest first; the front of those that keep the model; what does not apply."""
    return [_single(answer), _front(answer), _left_out(answer)]


def carried(answer: Row) -> list[str]:
    """Which remedies make the size fit that was asked about: those that keep the model, and other models."""
    fitting = [one for one in answer["remedies"]["tried"] if _fits(one, answer)]
    size = f"{LETTERS[answer['find']]} = {answer['at']:,}"
    alone = [one for one in fitting if len(one["names"]) == 1]
    said = []
    same = [one for one in alone if one["group"] != _ANOTHER]
    kept = same or [one for one in fitting if one["group"] != _ANOTHER]
    if kept:
        said.append(f"{size} is carried by {_named(kept)}.")
    else:
        said.append(f"No remedy that keeps the model carries {size}.")
    if others := [one for one in alone if one["group"] == _ANOTHER]:
        said.append(f"Other models that carry it: {_named(others)}.")
    return said


def _fits(one: Row, answer: Row) -> bool:
    """Within the memory, and within the time where that is limited."""
    time = answer["time"]
    soon = time is None or (one["seconds"] is not None and one["seconds"] <= time["limit_s"])
    return bool(one["peak_bytes"] <= answer["limit_bytes"] and soon)


def _named(tried: Sequence[Row]) -> str:
    return ", ".join(f"{_name(one)} ({scaled(one['peak_bytes'], 'B')})" for one in tried)


def _name(one: Row) -> str:
    return " + ".join(one["names"])


def _single(answer: Row) -> Table:
    letter, found = LETTERS[answer["find"]], answer["remedies"]
    alone = [one for one in found["tried"] if len(one["names"]) == 1]
    timed = found["seconds"] is not None
    time = ["time"] if timed else []
    headings = ("<remedy", f"{letter} up to", "peak", *time, "FLOPs", "moved", "launches", "<keeps")
    rows = [
        (
            _name(one),
            _reaches(one),
            scaled(one["peak_bytes"], "B"),
            *([_time(one["seconds"])] if timed else []),
            *(f"{one[key]:.3g}×" for key in ("flops_ratio", "bytes_ratio", "launches_ratio")),
            one["group"].replace("same model", "all"),
        )
        for one in alone
    ]
    own = scaled(answer["remedies"]["own_peak_bytes"], "B")
    note = f"peak and work at {letter} = {found['at']:,}, beside {own} as it is; each applied and looked at anew"
    for reason in dict.fromkeys(one["untimed"] for one in alone if one["untimed"]):
        of = ", ".join(_name(one) for one in alone if one["untimed"] == reason)
        note += f"; the time of {of} is not known: {reason.rstrip('.')}"
    return Table.of("remedies", headings, rows, note)


def _front(answer: Row) -> Table:
    letter, found = LETTERS[answer["find"]], answer["remedies"]
    timed = found["seconds"] is not None
    rows = []
    for i in found["front"]:
        if i < 0:
            time = _time(found["seconds"])
            rows.append(("as it is", "", scaled(found["own_peak_bytes"], "B"), *([time] if timed else ["1×"])))
        else:
            one = found["tried"][i]
            cost = _time(one["seconds"]) if timed else f"{max(one['flops_ratio'], one['bytes_ratio']):.3g}×"
            rows.append((_name(one), _reaches(one), scaled(one["peak_bytes"], "B"), cost))
    headings = ("<the model kept, the cheapest first", f"{letter} up to", "peak", "time" if timed else "work")
    work = "" if timed else "; work is the more of FLOPs and bytes moved, beside those of the target as it is"
    return Table.of("worth a look", headings, rows, f"each needs less than all that cost no more{work}")


def _left_out(answer: Row) -> Table:
    by_reason: dict[str, list[str]] = {}
    for row in answer["remedies"]["left_out"]:
        by_reason.setdefault(row["reason"], []).append(row["name"])
    rows = [(", ".join(names), reason) for reason, names in by_reason.items()]
    return Table.of("not applicable", ("<remedy", "<because"), rows)


def _reaches(one: Row) -> str:
    if one["unbounded"]:
        return "any"
    return "none" if one["size"] is None else f"{one['size']:,}"


def _time(value: float | None) -> str:
    return "—" if value is None else seconds(value)
