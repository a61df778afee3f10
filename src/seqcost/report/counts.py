"""A count as tables: the totals with their polynomials, several lengths, what was left out. Its parts: see views."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from seqcost.algebra.curve import Curve
from seqcost.algebra.quantity import QUANTITIES, Quantity, Told
from seqcost.algebra.rendering import scaled
from seqcost.report.table import Table

TRAINABLE = "trainable_params"  # told in tables only where it is not the number of all parameters


def totals_table(count: Mapping[str, Any]) -> Table:
    """One count: exact, rounded, and as a formula of T."""
    reasons = {item["quantity"]: item["reason"] for item in count["uncounted"] if "quantity" in item}
    curves = count["polynomials"]
    starts = {curve["valid_from"] for curve in curves.values() if curve["exact"]}
    start = starts.pop() if len(starts) == 1 else 1  # one for all is told once
    rows = []
    for quantity in told_of(count):
        label, key = quantity.label, quantity.name
        value = count[key]
        if value is None:
            rows.append((label, "—", "", "see below" if key in reasons else ""))
        else:
            about = scaled(Fraction(value), quantity.symbol)
            rows.append((label, f"{value:,}", about, curve_text(curves.get(key), told=start)))
    sizes = count["sizes"]
    at = ", ".join(f"{letter} = {sizes[letter]:,}" for letter in ("B", "T", "S") if letter in sizes)
    title = f"{count['target']} · {count['phase']} · {count['dtype']} · {at} · by {count['rung']}{_seen_to(count)}"
    note = f"functions of T hold from T = {start:,} on" if start > 1 else ""
    return Table.of(title, ("<", "exact", "", "<as a function of T"), rows, note)


def told_of(*counts: Mapping[str, Any]) -> list[Quantity]:
    """The quantities that a table of these counts has."""
    alike = all(count[TRAINABLE] == count["params"] for count in counts)
    return [row for row in QUANTITIES.told(Told.COUNT) if row.name != TRAINABLE or not alike]


def _seen_to(count: Mapping[str, Any]) -> str:
    """A word in a title where T lies beyond everything that was run."""
    seen_to = count.get("seen_to")
    return f" · extrapolated from T ≤ {seen_to:,}" if seen_to is not None and count["sizes"]["T"] > seen_to else ""


def curve_text(curve: Mapping[str, Any] | None, *, told: int = 1) -> str:
    """A function of T as a count gives it, and where it holds from if that is not `told`; empty where there is none."""
    if curve is None:
        return ""
    if not curve["exact"]:
        return "not a polynomial"
    text = str(Curve.from_dict(curve)).replace("- ", "− ")
    return text if curve["valid_from"] in (1, told) else f"{text}, T ≥ {curve['valid_from']}"


def letters_table(found: Mapping[str, Any]) -> Table:
    """Formulas in several letters, or the letters that are not polynomial; what each letter stands for."""
    labels = {name: row.label for name, row in QUANTITIES.items()}
    rows = [
        (labels[name], curve.get("formula") or f"not a polynomial in {' and '.join(curve['not_polynomial_in'])}")
        for name, curve in found["quantities"].items()
    ]
    meanings = ", ".join(f"{letter} = {it['setting']} ({it['own']:,})" for letter, it in found["settings"].items())
    reasons = [f"{labels[n]}: {c['reason']}" for n, c in found["quantities"].items() if "reason" in c]
    # What no formula counted is missing from these ones as well; the count lists it with its bytes.
    reasons += [f"not counted: {', '.join(found['uncounted'])}"] if found["uncounted"] else []
    agree = f"{found['num_points']} points agree, the target's own sizes among them" if meanings else ""
    note = "; ".join(([agree] if agree and not reasons else []) + reasons)
    meant = meanings or "its sizes are fixed"
    return Table.of(f"in letters · {meant} · B = {found['batch']}", ("<", "<as a function of all letters"), rows, note)


def parameters_table(count: Mapping[str, Any], *, most: int = 16) -> Table:
    """The modules of one count by falling parameters."""
    lines = [line for line in count["lines"] if line["kind"] == "parameters"]
    ranked = sorted(lines, key=lambda line: -line["amount"])
    total = max(count["params"], 1)
    rows = [
        (line["name"], f"{line['amount']:,}", scaled(line["amount"], ""), f"{100 * line['amount'] / total:.1f} %")
        for line in ranked[:most]
    ]
    rest = len(ranked) - len(rows)
    note = f"and {rest} smaller modules: --lines {len(ranked)} shows them, --json gives all" if rest > 0 else ""
    return Table.of("by module", ("<module", "parameters", "", "share"), rows, note)


def weights_table(weights: Mapping[str, Any]) -> Table:
    """The tensors of a file of weights by data type."""
    rows = [
        (dtype, f"{row['tensors']:,}", f"{row['elements']:,}", f"{row['bytes']:,}", scaled(row["bytes"], "B"))
        for dtype, row in weights["dtypes"].items()
    ]
    files = len(weights["files"])
    title = f"weights · {weights['tensors']:,} tensors in {files} {'file' if files == 1 else 'files'}"
    return Table.of(title, ("<dtype", "tensors", "elements", "bytes", ""), rows)


def lengths_table(counts: Sequence[Mapping[str, Any]]) -> Table:
    """Several lengths of one target, a row each."""
    told = [row for row in told_of(*counts) if any(count[row.name] is not None for count in counts)]
    rows = [[f"{count['sizes']['T']:,}", *(amount_text(count[row.name], row) for row in told)] for count in counts]
    first = counts[0]
    last = max(counts, key=lambda count: count["sizes"]["T"])
    title = (
        f"{first['target']} · {first['phase']} · {first['dtype']} · B = {first['sizes']['B']} · by {first['rung']}"
        f"{_seen_to(last)}"
    )
    return Table.of(title, ["T", *(row.label.partition(" (")[0] for row in told)], rows)


def by_what(answer: Mapping[str, Any]) -> str:
    """Where the numbers of a comparison come from: formulas, traces or both."""
    rungs = {point.get("rung", "formula") == "formula" for point in answer["points"]}
    return "by formula and trace" if len(rungs) > 1 else "by formula" if True in rungs else "by trace"


def amount_text(value: Any, quantity: Quantity) -> str:
    """A rounded amount with its unit, a dash where it is not known."""
    return "—" if value is None else scaled(Fraction(value), quantity.symbol)


def uncounted_notes(count: Mapping[str, Any]) -> list[str]:
    """What was left out, a sentence each."""
    notes: dict[str, list[str]] = {}
    for item in count["uncounted"]:
        if "quantity" in item:
            notes.setdefault(str(item["reason"]), []).append(str(item["quantity"]))
    out = [f"{', '.join(quantities)}: {reason}" for reason, quantities in notes.items()]
    operators = [item for item in count["uncounted"] if "operator" in item]
    out += [
        f"uncounted operator {item['operator']}: {item.get('calls', '?')} calls, {item.get('bytes', '?')} bytes"
        for item in operators
    ]
    return out


def remarks(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What must be known beside the numbers: what weights alone tell, and a table of positions that is too short."""
    said = [row["conventions"].get(key) for row in rows for key in ("weights", "positions", "untested")]
    said += [
        f"{sense}: {row['conventions'][sense]}"
        for row in rows
        for sense in ("image", "sound")
        if sense in row["conventions"]
    ]
    said += [_unused(row) for row in rows]
    return list(dict.fromkeys(note for note in said if note is not None))


def _unused(count: Mapping[str, Any], *, most: int = 4) -> str | None:
    """Which parameters took part in no operator of the phase, the largest parts by name."""
    rows = sorted(count.get("unused") or [], key=lambda row: -row["params"])
    if not rows:
        return None
    num = sum(row["params"] for row in rows)
    named = [f"{row['path'] or 'the module itself'} ({row['params']:,})" for row in rows[:most]]
    rest = [f"{len(rows) - most} more"] if len(rows) > most else []
    return (
        f"{num:,} of {count['params']:,} parameters ({100 * num / count['params']:.2g} %) took part in no operator of "
        f"this phase: {', '.join(named + rest)}"
    )


def flat_row(count: Mapping[str, Any]) -> dict[str, object]:
    """One count as a CSV row: sizes and totals."""
    head = {"target": count["target"], "phase": count["phase"], "dtype": count["dtype"], "rung": count["rung"]}
    return head | dict(count["sizes"]) | {name: count[name] for name in QUANTITIES.names(Told.COUNT)}
