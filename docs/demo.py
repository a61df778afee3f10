"""The run of scripts/demo that the README shows, from the answer that is kept in demo.json."""

import json
from pathlib import Path
from typing import Any

from seqcost.algebra.rendering import scaled
from seqcost.report.comparisons import crossovers_table, measured_table, panels
from seqcost.report.plots import Panel

KEPT = Path(__file__).with_name("demo.json")
SHOWN = ("FLOPs of contractions", "carried state (cache)", "measured time", "measured peak")


def answer() -> dict[str, Any]:
    """The comparison as plain data."""
    kept: dict[str, Any] = json.loads(KEPT.read_text("utf-8"))
    return kept


def tables() -> str:
    """What was measured, where one overtakes another, and the machine."""
    kept = answer()
    where = kept["runs"][0]["environment"]
    measured = measured_table(kept)
    machine = (
        f"{where['cpu_model']}, {where['num_cores']} cores, {scaled(where['memory_bytes'], 'B')}; Python "
        f"{where['python_version']}, torch {where['torch_version']}, seqcost {where['seqcost_version']}."
    )
    return f"{measured.to_markdown()}\n\n{measured.note} {machine}\n\n{crossovers_table(kept).to_markdown()}"


def curves() -> list[Panel]:
    """A panel for each of the shown quantities."""
    return [panel for panel in panels(answer()) if panel.title.startswith(SHOWN)]
