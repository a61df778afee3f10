"""A count by module, operator or line as a table: the quantity it is ranked by with its shares, the others beside."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqcost.algebra import Kind
from seqcost.algebra.quantity import QUANTITIES, Quantity, Told
from seqcost.algebra.rendering import scaled
from seqcost.report.folding import Node, tree
from seqcost.report.table import Table


def view_table(view: Mapping[str, Any], *, most: int = 16, depth: int | None = None) -> Table:
    """The largest rows of a view.

    Parameters
    ----------
    view
        `View.to_dict()`.
    most
        Rows that are shown; a module is never shown without those that it is in.
    depth
        Of a tree of modules, levels that are shown.

    """
    by, rank, totals = view["by"], view["rank"], view["totals"]
    columns = _columns(by, rank)
    if by == "module":
        rows, hidden = _of_modules(view, [row.name for row in columns], most, depth)
    else:
        listed = [row for row in view["rows"] if any(row[q.name] for q in columns)]
        rows = [(row["name"], row.get("calls"), tuple(row[q.name] for q in columns)) for row in listed[:most]]
        hidden = len(listed) - len(rows)
    cells = []
    for name, calls, amounts in rows:
        shown = [scaled(amount, q.symbol) if amount else "" for amount, q in zip(amounts, columns, strict=True)]
        share = f"{100 * amounts[0] / max(totals[rank], 1):.1f} %" if amounts[0] else ""
        cells.append([name, *([f"{calls:,}"] if by == "operator" else []), shown[0], share, *shown[1:]])
    first, *others = [row.heading for row in columns]
    headings = [f"<{by}", *(["calls"] if by == "operator" else []), first, "share", *others]
    words = f"and {hidden} smaller {_PLURALS[by]}: --lines {hidden + len(rows)} shows them, --json gives all"
    return Table.of(f"by {by}", headings, cells, words if hidden > 0 else "")


def _columns(by: str, rank: str) -> list[Quantity]:
    """What is ranked by first; then what else can be said of such rows, as much as 80 columns hold."""
    told = QUANTITIES.of_operators() if by == "operator" else QUANTITIES.told(Told.DIVIDED)
    # Modules have parameters, the lines of parameters are their own; pointwise operations give way to them.
    less = {"module": Kind.POINTWISE, "line": Kind.POINTWISE if rank == "params" else Kind.PARAMETERS}.get(by)
    others = sorted((q for q in told if less not in q.kinds), key=lambda q: Kind.PARAMETERS in q.kinds)
    return list({q.name: q for q in (QUANTITIES[rank], *others)}.values())


_PLURALS = {"module": "rows", "operator": "operators", "line": "lines"}
Row = tuple[str, int | None, tuple[int | None, ...]]


def _of_modules(
    view: Mapping[str, Any], keys: Sequence[str], most: int, depth: int | None
) -> tuple[Sequence[Row], int]:
    """Indented rows of a tree; of those that are too many the smallest are left out, which never are parents."""
    at = keys.index(view["rank"])
    root = tree(view["rows"], keys)
    root.label = view["target"]
    flat = [(level, node) for level, node in _flat(root, 0) if depth is None or level <= depth]
    order = sorted(range(len(flat)), key=lambda i: (-(flat[i][1].amounts[at] or 0), flat[i][0]))
    shown = sorted(order[:most])
    rows = [(f"{'  ' * level}{_name(node)}", None, node.amounts) for level, node in (flat[i] for i in shown)]
    return rows, len(flat) - len(shown)


def _name(node: Node) -> str:
    return f"{node.label} (×{node.times})" if "…" in node.label.rpartition(".")[2] else node.label


def _flat(node: Node, level: int) -> Iterator[tuple[int, Node]]:
    yield level, node
    if not node.children:
        return
    for child in node.children:
        yield from _flat(child, level + 1)
    own = tuple(
        None if amount is None else amount - sum(child.amounts[i] or 0 for child in node.children)
        for i, amount in enumerate(node.amounts)
    )
    if any(own):
        yield level + 1, Node("(itself)", own)
