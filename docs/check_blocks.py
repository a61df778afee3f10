"""The table of `seqcost check` over models of other packages."""

import logging
import warnings

COLUMNS = {
    "three pieces": "three pieces = whole",
    "pieces of 7": "pieces of 7 = whole",
    "prefill, steps": "a prefill, then single steps",
    "steps": "single steps, batch of 2",
    "left padding": "padding on the left",
    "padded prefill, steps": "right-padded prefill, then steps",
    "gradients": "gradients through the state",
}


def others() -> str:
    """A row a model, a column an invariant: the error and the first wrong position where it fails."""
    import torch
    from others import OTHERS

    import seqcost
    from seqcost.report.table import Table

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    rows = []
    for name, make in OTHERS.items():
        torch.manual_seed(0)
        module = make()
        inputs = None if hasattr(module, "config") else (torch.randn(2, 48, 32),)
        found = {row.what: row for row in seqcost.check(module, inputs=inputs).rows}
        rows.append((name, *(_cell(found.get(what)) for what in COLUMNS.values())))
    return Table.of("", ("<model", *(f"<{column}" for column in COLUMNS)), rows).to_markdown()


def _cell(row: object) -> str:
    verdict = getattr(row, "verdict", "not asked")
    if verdict == "fails" and row.error is not None:  # type: ignore[attr-defined]
        at = "" if row.position is None else f", from {row.position}"  # type: ignore[attr-defined]
        return f"**{row.error:.0e}**{at}"  # type: ignore[attr-defined]
    return {"fails": "**wrong shape**", "raises": "**raises**", "not asked": "—"}.get(verdict, verdict)
