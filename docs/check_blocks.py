"""The table of `seqcost check` over models of other packages."""

import logging
import warnings

COLUMNS = {
    "future": "does not see the future",
    "three pieces": "three pieces = whole",
    "pieces of 7": "pieces of 7 = whole",
    "prefill, steps": "a prefill, then single steps",
    "steps": "single steps = whole",
    "left padding": "padding on the left",
    "left-padded prefill, steps": "left-padded prefill, then steps",
    "right-padded prefill, steps": "right-padded prefill, then steps",
    "gradients": "gradients through the state",
}


def others() -> str:
    """One row per model, one column per invariant: the error and the first wrong position where it fails."""
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
        words = any(isinstance(part, torch.nn.Embedding) for part in module.modules())
        own = (torch.randint(0, 50, (3, 48)),) if words else (torch.randn(3, 48, 32),)
        inputs = None if hasattr(module, "config") else own
        found = {row.what: row for row in seqcost.check(module, inputs=inputs).rows}
        rows.append((name, *(_cell(found.get(what)) for what in COLUMNS.values())))
    return Table.of("", ("<model", *(f"<{column}" for column in COLUMNS)), rows).to_markdown()


def _cell(row: object) -> str:
    verdict = getattr(row, "verdict", "not asked")
    if verdict != "fails":
        return {"raises": "**raises**", "not asked": "—"}.get(verdict, verdict)
    larger = " (larger)" if "with larger weights" in row.remark else ""  # type: ignore[attr-defined]
    if row.error is None:  # type: ignore[attr-defined]
        return f"**wrong shape**{larger}"
    at = "" if row.position is None else f", from {row.position}"  # type: ignore[attr-defined]
    return f"**{row.error:.0e}**{at}{larger}"  # type: ignore[attr-defined]
