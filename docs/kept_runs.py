"""Measured comparisons that the pages show, from the answers that are kept beside them: demo.json, all.json."""

import json
from pathlib import Path
from typing import Any

from seqcost.algebra.quantity import QUANTITIES
from seqcost.algebra.rendering import scaled
from seqcost.questions.answers.measurement import Measured
from seqcost.questions.answers.standings import standings
from seqcost.records import Run, pool
from seqcost.report.comparisons import crossovers_table, measured_table, panels, pictures
from seqcost.report.families import longest_table, measured_tables, verdicts_table
from seqcost.report.plots import Panel, draw, to_png

DOCS = Path(__file__).parent
SHOWN = ("FLOPs of contractions", "carried state (cache)", "measured time", "measured peak")


def is_kept(name: str) -> bool:
    """Whether that run is here."""
    return (DOCS / f"{name}.json").exists()


def answer(name: str) -> dict[str, Any]:
    """The comparison as plain data."""
    kept: dict[str, Any] = json.loads((DOCS / f"{name}.json").read_text("utf-8"))
    if "standings" not in kept:  # an answer of before there were any: as its runs, one process each, have it
        runs = [pool([Run.from_dict(run)]) for run in kept["runs"]]
        rows = zip([row for row in kept["points"] if "status" in row], runs, strict=True)
        found = standings([Measured(row["target"], row["T"], run) for row, run in rows])
        kept["standings"] = [vars(standing) for standing in found]
    return kept


def demo() -> str:
    """What was measured, where one overtakes another, and the machine."""
    kept = answer("demo")
    measured = measured_table(kept)
    where = f"{measured.note} {_machine(kept)}"
    return f"{measured.to_markdown()}\n\n{where}\n\n{crossovers_table(kept).to_markdown()}"


def every() -> str:
    """All architectures: cost at the longest length, time and memory over the lengths, and who is cheaper when."""
    kept = answer("all")
    tables = [longest_table(kept), *measured_tables(kept), verdicts_table(kept)]
    parts = [f"**{table.title}**\n\n{table.to_markdown()}\n\n{table.note}".strip() for table in tables]
    return "\n\n".join([*parts, _machine(kept)])


def drawn() -> dict[str, bytes]:
    """PNGs of the kept runs by file name."""
    out = {}
    if is_kept("demo"):
        out["demo"] = to_png(draw(_demo_panels()))
    if is_kept("all"):
        names = {"FLOPs of contractions": "all-flops", QUANTITIES["time"].title: "all-time"} | {
            QUANTITIES["peak memory"].title: "all-peak"
        }
        out |= {names[title]: png for title, png in pictures(answer("all")) if title in names}
    return out


def _demo_panels() -> list[Panel]:
    return [panel for panel in panels(answer("demo")) if panel.title.startswith(SHOWN)]


def _machine(kept: dict[str, Any]) -> str:
    where = kept["runs"][0]["environment"]
    return (
        f"{where['cpu_model']}, {where['num_cores']} cores, {scaled(where['memory_bytes'], 'B')}; Python "
        f"{where['python_version']}, torch {where['torch_version']}, seqcost {where['seqcost_version']}."
    )
