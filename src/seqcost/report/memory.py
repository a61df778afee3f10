"""What the peak of a count consists of, as tables: by category, and saved activations by module."""

from collections.abc import Mapping
from typing import Any

from seqcost.algebra.rendering import scaled
from seqcost.report.table import Table

LABELS = {
    "parameters": "parameters",
    "buffers": "buffers",
    "inputs": "inputs",
    "state": "carried state",
    "optimizer_state": "optimizer state",
    "gradients": "gradients",
    "saved_activations": "saved activations",
    "temporaries": "temporaries",
}


def memory_tables(count: Mapping[str, Any], *, most: int = 16) -> list[Table]:
    """The peak by category, and its saved activations by module; none where the source has no account of it."""
    memory = count["memory"]
    if memory is None:
        return []
    peak, at = memory["peak_bytes"], memory["at"]
    rows = [(LABELS[name], *_cells(size, peak)) for name, size in memory["categories"].items() if size]
    rows.append(("all", *_cells(peak, peak)))
    where = f" of {at['path']}" if at["path"] else ""
    note = f"{at['phase']}, during {at['operator'].split('::')[-1]}{where}"
    if at["index"] is not None:
        note += f", operator {at['index']:,} of the step"
    headings = ("<", "bytes", "", "share")
    title = f"memory at the peak, T = {count['sizes']['T']:,}"
    tables = [Table.of(title, headings, rows, note)]
    saved = memory["saved_by_module"]
    if saved:
        ranked = list(saved.items())
        rest = len(ranked) - most
        tables.append(
            Table.of(
                "saved activations by module",
                ("<module", "bytes", "", "share"),
                [(path or "module", *_cells(size, peak)) for path, size in ranked[:most]],
                f"and {rest} smaller: --lines {len(ranked)} shows them, --json gives all" if rest > 0 else "",
            )
        )
    return tables


def _cells(size: int, peak: int) -> tuple[str, str, str]:
    return f"{size:,}", scaled(size, "B"), f"{100 * size / max(peak, 1):.1f} %"
