"""Blocks made by running commands: what they print, their options. Those that trace or measure load torch."""

import json
import os
import shlex
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument
from typer.testing import CliRunner

from seqcost.cli.main import app
from seqcost.errors import SeqcostError
from seqcost.report.table import Table

COLUMNS = "100"  # of the terminal that the examples show
os.environ["OMP_NUM_THREADS"] = "2"  # read when torch is loaded: the peak of a trace holds buffers for each thread


def run(*command: str) -> str:
    """A command and what it prints."""
    return f"```console\n$ seqcost {shlex.join(command)}\n{_printed(command)}\n```"


def head(count: str, *command: str) -> str:
    """A command and the first lines that it prints."""
    printed = _printed(command).splitlines()
    return f"```console\n$ seqcost {shlex.join(command)}\n" + "\n".join([*printed[: int(count)], "…"]) + "\n```"


def since(text: str, *command: str) -> str:
    """A command and what it prints from the line on that begins with a text."""
    printed = _printed(command).splitlines()
    at = next(i for i, line in enumerate(printed) if line.startswith(text))
    return f"```console\n$ seqcost {shlex.join(command)}\n…\n" + "\n".join(printed[at:]) + "\n```"


def json_of(*command: str) -> str:
    """A command with --json, its answer laid out with a key, and a row of a list, on each line."""
    return f"```console\n$ seqcost {shlex.join(command)} --json\n```\n\n{_laid_out(_answer(*command))}"


def options(command: str) -> str:
    """Arguments and options of a command."""
    group: Any = typer.main.get_command(app)
    rows = []
    for parameter in group.commands[command].params:
        if isinstance(parameter, TyperArgument):
            rows.append((f"`{parameter.name.upper()}`", parameter.help or "", ""))
        else:
            default = "" if parameter.is_flag or parameter.default is None else f"`{parameter.default}`"
            metavar = "" if parameter.is_flag else f" {parameter.metavar or 'TEXT'}"
            words = ", ".join(f"`{word}{metavar}`" for word in sorted(parameter.opts, key=len, reverse=True))
            rows.append((words, parameter.help or "", default))
    return Table.of("", ("<argument or option", "<meaning", "<default"), rows).to_markdown()


def measured_compare(*command: str) -> str:
    """The measured table of a comparison, from real runs into a store that is thrown away."""
    text = _printed((*command, "--store", "runs.sqlite"))
    found = text[text.index(", measured on this machine") :]
    body = found[: found.index("crossovers:")].rstrip()
    return f"```console\n$ seqcost {shlex.join(command)}\n…\nforward{body}\n…\n```"


def measured_record(*command: str) -> str:
    """The record of the first run of a comparison, as JSON."""
    (first, *_) = _answer(*command, "--store", "runs.sqlite")["runs"]
    del first["environment"]["machine_id"]
    return _laid_out(first)


def _answer(*command: str) -> Any:
    return json.loads(_printed((*command, "--json")))


def _laid_out(answer: Any) -> str:
    """JSON with a key, and a row of a list of rows, on each line."""
    out = []
    for key, value in answer.items():
        text = json.dumps(value, ensure_ascii=False)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n" + ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in value) + "\n ]"
        out.append(f' "{key}": {text}')
    body = ",\n".join(out)
    return f"```json\n{{\n{body}\n}}\n```"


@cache
def _printed(command: tuple[str, ...]) -> str:
    """What a command prints, in an empty folder and a terminal of COLUMNS; a user's mistake as main() shows it."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        env = {"COLUMNS": COLUMNS}
        if command[0] == "machines":  # whether this machine was calibrated is nothing for a page
            env["SEQCOST_STORE"] = str(Path(folder) / "runs.sqlite")
        try:
            ended = CliRunner(env=env).invoke(app, list(command))
        finally:
            os.chdir(here)
    if isinstance(ended.exception, SeqcostError):
        return f"seqcost: {ended.exception}"
    if ended.exception is not None and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    if ended.exit_code == 0:  # what it was at, on standard error, depends on how fast the machine is
        return "\n".join(line.rstrip() for line in ended.stdout.splitlines()).strip("\n")
    printed = [line.rstrip() for line in ended.output.splitlines()]
    return "\n".join(printed).strip("\n")
