"""A difference as tables: every quantity side by side, the lines that changed, the functions of T. Reads plain rows."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from seqcost.algebra.quantity import QUANTITIES, Quantity
from seqcost.algebra.rendering import scaled
from seqcost.report.counts import amount_text, curve_text, told_of, uncounted_notes
from seqcost.report.table import Table

Row = Mapping[str, Any]


def quantities_table(diff: Row) -> Table:
    """Both sides, what B has more, and B over A."""
    found = {row["quantity"]: row for row in diff["quantities"]}
    rows = []
    sides = [{name: row[side] for name, row in found.items()} for side in ("a", "b")]
    for quantity in told_of(*sides):
        row = found[quantity.name]
        amounts = (amount_text(row[side], quantity) for side in ("a", "b"))
        rows.append((quantity.label, *amounts, _signed(row["difference"], quantity), _ratio(row["ratio"])))
    left, right = diff["a"], diff["b"]
    at = ", ".join(f"{letter} = {left['sizes'][letter]:,}" for letter in ("B", "T", "S") if letter in left["sizes"])
    rungs = left["rung"] if left["rung"] == right["rung"] else f"{left['rung']} and {right['rung']}"
    title = f"A: {left['target']} → B: {right['target']} · {left['phase']} · {left['dtype']} · {at} · by {rungs}"
    return Table.of(title, ("<", "A", "B", "B − A", "B / A"), rows, sizes_note(diff))


def sizes_note(diff: Row) -> str:
    """The letters and choices that are not the same on both sides."""
    left, right = diff["a"]["sizes"], diff["b"]["sizes"]
    changed = [
        f"{letter}: {left.get(letter, '—')} → {right.get(letter, '—')}"
        for letter in dict.fromkeys((*left, *right))
        if left.get(letter) != right.get(letter)
    ]
    return ", ".join(changed)


def lines_table(diff: Row, *, most: int = 16) -> Table:
    """The lines that differ, one row per name: B − A of each kind; largest change of FLOPs first, then of the rest."""
    by_name: dict[str, dict[str, Row]] = {}
    for line in diff["lines"]:
        by_name.setdefault(line["name"], {})[line["kind"]] = line
    kinds_of = [(kind, row) for row in QUANTITIES.lined() for kind in row.kinds]
    columns = [(kind, quantity) for kind, quantity in kinds_of if any(kind in row for row in by_name.values())]

    def size(kinds: Mapping[str, Row]) -> list[Fraction]:
        return [abs(Fraction(kinds[kind]["difference"])) if kind in kinds else Fraction(0) for kind, _ in columns]

    ranked = sorted(by_name.items(), key=lambda item: size(item[1]), reverse=True)
    rows = [
        (
            name,
            _word(kinds),
            *(_signed(kinds[kind]["difference"], q) if kind in kinds else "" for kind, q in columns),
        )
        for name, kinds in ranked[:most]
    ]
    rest = len(ranked) - len(rows)
    notes = [f"{diff['unchanged']:,} lines of a name and kind are the same"]
    if rest > 0:
        notes.append(f"and {rest} smaller differences: --lines {len(ranked)} shows them, --json gives all")
    headings = ("<line", "<", *(quantity.heading for _, quantity in columns))
    return Table.of("lines that differ, B − A", headings, rows, "; ".join(notes))


def curves_table(diff: Row) -> Table:
    """As functions of T, the quantities in which they are not the same on both sides."""
    rows = []
    for key, sides in diff["polynomials"].items():
        if sides["a"] == sides["b"]:
            continue
        for side, word in (("a", "A"), ("b", "B"), ("difference", "B − A")):
            if sides[side] is not None:
                label = QUANTITIES[key].label if side == "a" or sides["a"] is None else ""
                rows.append((label, word, curve_text(sides[side]).replace("-", "−")))
    return Table.of("functions of T that differ", ("<quantity", "<", "<as a function of T"), rows)


def tables(diff: Row, *, most: int = 16) -> list[Table]:
    """All tables of a difference, in reading order; those that have nothing to say are left out."""
    found = [quantities_table(diff), *([lines_table(diff, most=most)] if diff["lines"] else []), curves_table(diff)]
    return [table for table in found if table.rows]


def notes(diff: Row) -> list[str]:
    """What was not counted, a sentence each; once where it is so on both sides."""
    left, right = uncounted_notes(diff["a"]), uncounted_notes(diff["b"])
    both = [note for note in left if note in right]
    only = [(side, note) for side, found in (("A", left), ("B", right)) for note in found if note not in both]
    return [*both, *(f"{side}: {note}" for side, note in only)]


def flat_rows(diff: Row) -> list[dict[str, object]]:
    """CSV: one row per quantity (kind `total`) and one row per line that differs."""
    keys = ("a", "b", "difference", "ratio")
    totals = [
        {"kind": "total", "name": row["quantity"], "change": "", **{key: row[key] for key in keys}}
        for row in diff["quantities"]
    ]
    lines = [
        {"kind": row["kind"], "name": row["name"], "change": row["change"], **{key: row[key] for key in keys}}
        for row in diff["lines"]
    ]
    return [*totals, *lines]


def _word(kinds: Mapping[str, Row]) -> str:
    """One word for a line of several kinds."""
    words = {row["change"] for row in kinds.values()}
    return words.pop() if len(words) == 1 else "changes"


def _signed(value: Any, quantity: Quantity) -> str:
    if value is None:
        return "—"
    exact = Fraction(value)
    return f"{'+' if exact > 0 else ''}{scaled(exact, quantity.symbol)}".replace("-", "−")


def _ratio(value: float | None) -> str:
    return "—" if value is None else f"{value:.4g}"
