"""A count by module, operator or line as a table: the quantity it is ranked by with its shares, the others beside."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from seqcost.algebra.rendering import scaled
from seqcost.report.folding import Node, tree
from seqcost.report.table import Table

# key, heading, unit
COLUMNS = (
    ("flops", "FLOPs", "FLOP"),
    ("pointwise", "pointwise", "FLOP"),
    ("bytes_moved", "moved", "B"),
    ("saved_bytes", "kept", "B"),
    ("params", "parameters", ""),
)


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
        rows, hidden = _of_modules(view, [key for key, _, _ in columns], most, depth)
    else:
        listed = [row for row in view["rows"] if any(row[key] for key, _, _ in columns)]
        rows = [(row["name"], row.get("calls"), tuple(row[key] for key, _, _ in columns)) for row in listed[:most]]
        hidden = len(listed) - len(rows)
    cells = []
    for name, calls, amounts in rows:
        shown = [scaled(amount, unit) if amount else "" for amount, (_, _, unit) in zip(amounts, columns, strict=True)]
        share = f"{100 * amounts[0] / max(totals[rank], 1):.1f} %" if amounts[0] else ""
        cells.append([name, *([f"{calls:,}"] if by == "operator" else []), shown[0], share, *shown[1:]])
    first, *others = [heading for _, heading, _ in columns]
    headings = [f"<{by}", *(["calls"] if by == "operator" else []), first, "share", *others]
    words = f"and {hidden} smaller {_PLURALS[by]}: --lines {hidden + len(rows)} shows them, --json gives all"
    return Table.of(f"by {by}", headings, cells, words if hidden > 0 else "")


def _columns(by: str, rank: str) -> list[tuple[str, str, str]]:
    """What is ranked by first; then what else can be said of such rows, as much as 80 columns hold."""
    others = {
        "module": ("flops", "bytes_moved", "saved_bytes", "params"),
        "operator": ("flops", "pointwise", "bytes_moved"),
        "line": ("flops", "pointwise", "bytes_moved", "saved_bytes"),
    }[by]
    found = {column[0]: column for column in COLUMNS}
    shown = dict.fromkeys((rank, *others))
    if by == "line" and rank == "params":  # parameters are lines of their own
        del shown["pointwise"]
    return [found[key] for key in shown]


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
