"""How the rows of a check look."""

from collections.abc import Iterable
from typing import Any

from seqcost.report.table import Table


def check_table(rows: Iterable[Any], title: str) -> Table:
    """Each invariant with its verdict, error, first wrong position and remark."""
    cells = [
        (
            row.what,
            row.verdict,
            "" if row.error is None else f"{row.error:.1e}",
            "" if row.position is None else f"{row.position:,}",
            row.remark,
        )
        for row in rows
    ]
    return Table.of(title, ("<invariant", "<verdict", "error", "first wrong", "<remark"), cells)
