"""A comparison in a few sentences, before its tables: who costs least, whether alike are compared, what to mind.

Reads the plain rows of an answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from seqcost.algebra.quantity import QUANTITIES
from seqcost.algebra.rendering import scaled

Row = Mapping[str, Any]

UNLIKE = 1.25  # times as many parameters: not of one size any more
SIZES = ("L", "D", "H", "F", "N", "W", "U")  # shown where targets have them, in this order

# What the letters of a formula stand for, in the order in which they are told.
LEGEND = {
    "B": "sequences", "T": "tokens", "S": "tokens of the source", "D": "width", "H": "heads", "G": "key/value heads",
    "K": "head width of keys", "V": "head width of values", "F": "feed-forward width", "L": "layers",
    "N": "state size", "E": "inner width", "R": "rank or rounds", "C": "chunk", "W": "window", "U": "vocabulary",
}  # fmt: skip


def sentences(answer: Row) -> list[str]:
    """All of them, the answer first."""
    if len(answer["targets"]) < 2:
        return [*_balances(answer), *remarks(answer)]
    return [*cheapest(answer), *_balances(answer), *_unlike(answer), *_foretold(answer), *remarks(answer)]


def cheapest(answer: Row) -> list[str]:
    """Who costs least of each quantity, and from which length on."""
    by_quantity: dict[str, list[Row]] = {}
    for row in answer.get("cheapest", ()):
        by_quantity.setdefault(row["quantity"], []).append(row)
    out = []
    for quantity, rows in by_quantity.items():
        first, *later = rows
        title, measured = QUANTITIES[quantity].title, any(row.get("among") for row in rows)
        scope = "" if first["exact"] else f", of the lengths {_span(answer['lengths'])}"
        if not later:
            each = "any" if first.get("among") else "all"
            some = f"at {each} of the lengths {_span(answer['lengths'])}"
            every = _everywhere(first["start"]) if first["exact"] else some
            out.append(f"{title}: {_least(first)} {every}.")
            continue
        told = _least if measured else lambda row: str(row["target"])
        changes = ", ".join(f"{told(row)} from T = {row['start']:,} on" for row in later)
        out.append(f"{title}: {_least(first)} at first, {changes}{scope}.")
    return out


def _least(row: Row) -> str:
    """Who costs least, or which are not told apart."""
    among = row.get("among") or ()
    if not among:
        return f"{row['target']} costs least"
    return f"{', '.join(among[:-1])} and {among[-1]} are not told apart"


def _everywhere(start: int) -> str:
    return "at every length" if start == 1 else f"from T = {start:,} on"


def _span(lengths: Sequence[int]) -> str:
    return f"{min(lengths):,} to {max(lengths):,}"


def _balances(answer: Row) -> list[str]:
    return [
        f"{row['target']}: from T = {row['length']:,} on, what grows as T² is more than half of its FLOPs."
        for row in answer.get("balances", ())
    ]


def _unlike(answer: Row) -> list[str]:
    params = {point["target"]: point["params"] for point in answer["points"]}
    least, most = min(params, key=params.__getitem__), max(params, key=params.__getitem__)
    if params[most] <= UNLIKE * params[least]:
        return []
    sizes = answer.get("sizes", {})

    def told(name: str) -> str:
        layers = sizes.get(name, {}).get("L")
        within = "" if layers is None else f" in {layers:,} {'layer' if layers == 1 else 'layers'}"
        return f"{name} has {scaled(params[name], '')} parameters{within}"

    return [f"Not of one size: {told(most)}, {told(least)}; --width, --layers and --set make them alike."]


def _foretold(answer: Row) -> list[str]:
    """Of what was predicted for a machine: what it rests on, runs beside it, what does not fit, how to confirm it."""
    machine = answer.get("machine")
    if not machine:
        return []
    out = [
        f"Predicted for {machine['rests_on']}; of two targets, what errs alike in both (the same kernels, calls, the "
        "machine from run to run) counts once."
    ]
    out += [
        _beside(found, run)
        for found in answer["crossovers"]
        for run in answer["crossovers"]
        if found["how"] == "predicted" and run["how"] == "interpolated" and _same(found, run)
    ]
    large = [point for point in answer["points"] if point.get("fits") is False]
    out += [f"{p['target']} does not fit at T = {p['T']:,}: {scaled(p['predicted_peak_bytes'], 'B')}." for p in large]
    return [*out, f"check: {answer['check']}"] if answer["check"] else out


def _same(found: Row, run: Row) -> bool:
    pair = (found["rising"], found["other"])
    return QUANTITIES[run["quantity"]].unit == "second" and pair == (run["rising"], run["other"])


def _beside(found: Row, run: Row) -> str:
    """A crossover as it was measured beside what was predicted for it."""
    inside = (found["length_low"] or 0) <= run["length"] <= (found["length_high"] or run["length"])
    return (
        f"{found['rising']} over {found['other']}: predicted from T ≈ {found['length']:,.0f} on, measured from "
        f"T ≈ {run['length']:,.0f} on, {'inside' if inside else 'outside'} of what was predicted."
    )


def remarks(answer: Row) -> list[str]:
    """What must be known beside the numbers: texts that a layer does not take, runs that others disturbed."""
    out = list(dict.fromkeys(point["remark"] for point in answer["points"] if point.get("remark")))
    disturbed = [point for point in answer["points"] if point.get("disturbed")]
    if disturbed:
        most = max(point["other_cores"] for point in disturbed)
        runs = "1 run was" if len(disturbed) == 1 else f"{len(disturbed)} runs were"
        out.append(
            f"{runs} made while other processes kept up to {most:g} cores busy (marked *): their times are too long; "
            "measure on a quiet machine with --again."
        )
    alone = any(point.get("num_processes") == 1 for point in answer["points"])
    if alone and len(answer["targets"]) > 1:
        out.append(
            "One process gives no interval: which target takes longer, and from which length on, is not told; "
            "give --processes 3 or more."
        )
    return out


def sizes_of(answer: Row, name: str) -> str:
    """`L = 6, D = 512, …` of a target."""
    sizes = answer.get("sizes", {}).get(name, {})
    return ", ".join(
        f"{letter} = {sizes[letter]:,}" for letter in SIZES if isinstance(sizes.get(letter), int) and sizes[letter]
    )


def legend(formulas: Sequence[str]) -> str:
    """What the letters in these formulas stand for."""
    letters = {sign for formula in formulas for sign in formula.replace("O(", "(")}
    return ", ".join(f"{letter} {meaning}" for letter, meaning in LEGEND.items() if letter in letters)
