"""The page of a benchmark: its tables with date, machine and versions, printed and written beside the script."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from seqcost.algebra.rendering import scaled
from seqcost.records import Environment, this_environment
from seqcost.report.table import Table
from seqcost.writing import write_text


def publish(
    name: str,
    title: str,
    words: str,
    tables: Sequence[Table],
    verdict: str,
    *,
    made: str | None = None,
    path: Path | None = None,
) -> None:
    """Print the tables and write `benchmarks/<name>.md`, or another path; `made` says where runs were made earlier."""
    console = Console(width=150, highlight=False)
    for table in tables:
        console.print(table)
    console.print(verdict)
    parts = [f"# {title}", words, made or made_on()]
    for table in tables:
        parts += [f"## {table.title}"] if table.title else []
        parts += [table.to_markdown(), table.note] if table.note else [table.to_markdown()]
    parts += [verdict, f"Made by `python benchmarks/{name}.py`."]
    write_text(path or Path(__file__).with_name(f"{name}.md"), "\n\n".join(parts) + "\n")


def made_on() -> str:
    """Date, machine, versions and load in one sentence."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    return f"Made on {today}: {described(this_environment())}; load {os.getloadavg()[0]:.1f}."


def described(where: Environment) -> str:
    """Machine and versions."""
    commit = f" {(where.commit or '')[:8]}{' with changes' if where.dirty else ''}".rstrip()
    return (
        f"{where.cpu_model}, {where.num_cores} cores, "
        f"{scaled(where.memory_bytes, 'B')}; Python {where.python_version}, torch {where.torch_version}, "
        f"numpy {where.numpy_version}, seqcost {where.seqcost_version}{commit}"
    )
