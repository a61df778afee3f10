"""Blocks read from the source and from the tables of benchmarks/: rooms, floors, constants. No torch here."""

import ast
import re
import textwrap
import tomllib
from pathlib import Path
from typing import Any

from seqcost.report.table import Table

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "seqcost"
CONSTANT = re.compile(r"^(_?[A-Z][A-Z_]+) = ([^#\n]+?)(?: +# (.*))?$", re.MULTILINE)


def constants(*files: str) -> str:
    """Named constants of source files under src/seqcost, with the remarks beside them."""
    rows = []
    for file in files:
        for name, value, remark in CONSTANT.findall((PACKAGE / file).read_text("utf-8")):
            rows.append((name.strip("_").lower().replace("_", " "), f"`{value.strip()}`", remark))
    return Table.of("", ("<constant", "<value", "<remark"), rows).to_markdown()


def tree() -> str:
    """The rooms of the package from the top floor down, each with the first line of its docstring."""
    out = ["src/seqcost/"]
    for room in re.findall(r"\w+", " ".join(_contract("Floors")["layers"])):
        folder = PACKAGE / room
        if folder.is_dir():
            out.append(f"  {room + '/':<12} {_first_line(folder / '__init__.py')}")
            out += [
                f"    {inner.parent.name + '/':<10} {_first_line(inner)}"
                for inner in sorted(folder.glob("*/__init__.py"))
            ]
        elif folder.with_suffix(".py").exists():
            out.append(f"  {room + '.py':<12} {_first_line(folder.with_suffix('.py'))}")
    return "```text\n" + "\n".join(out) + "\n```"


def floors() -> str:
    """The order of the floors, as the contract in pyproject.toml has it; rooms in brackets are not built yet."""
    return "```text\n" + "\n".join(_contract("Floors")["layers"]) + "\n```"


def contracts() -> str:
    """Names of the import contracts."""
    return "\n".join(f"- {contract['name']} (`{contract['type']}`)" for contract in _contracts())


def _contracts() -> list[dict[str, Any]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found: list[dict[str, Any]] = settings["tool"]["importlinter"]["contracts"]
    return found


def _contract(name: str) -> dict[str, Any]:
    return next(contract for contract in _contracts() if contract["name"] == name)


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]


def table_of(benchmark: str, number: str = "1") -> str:
    """A table of benchmarks/<name>.md, and where and when it was made."""
    text = (ROOT / "benchmarks" / f"{benchmark}.md").read_text("utf-8")
    paragraphs = text.split("\n\n")
    tables = [part.strip() for part in paragraphs if part.startswith("|")]
    (where,) = (part.strip() for part in paragraphs if part.startswith("Made on"))
    return f"{tables[int(number) - 1]}\n\n{where}"


def template() -> str:
    """The program of the template that scripts/new-architecture fills."""
    text = (ROOT / "scripts" / "architecture" / "formula.py.txt").read_text("utf-8").format_map(_Kept())
    program = text[text.index("    def program(") : text.index("    def state_bytes(")]
    functions = textwrap.dedent(program).rstrip().replace("\n\ndef ", "\n\n\ndef ")  # as ruff lays functions out
    return "```python\n" + functions + "\n```"


class _Kept(dict[str, str]):
    def __missing__(self, word: str) -> str:
        return word


# Of what stands behind the tape, that which a program writes itself.
_FOR_PROGRAMS = ("at", "loop", "layers", "new", "launch", "line", "kernel", "follow")


def tape() -> str:
    """What a program can write on its tape, by the file it is in: each method with the first line of its docstring."""
    import inspect
    import sys

    from seqcost.formulas.core.recorder import Recorder
    from seqcost.formulas.core.tape import Tape

    tables = []
    for room in reversed(Tape.__mro__[:-1]):
        heading = (sys.modules[room.__module__].__doc__ or "").partition("\n")[0]
        if room is Recorder:
            heading, names = "Any kernel, loops, places.", list(_FOR_PROGRAMS)
        else:
            names = [name for name in vars(room) if not name.startswith("_")]
        if room is Tape:
            heading = "Components inside others, and the state that is handed on."
        rows = [(f"`{name}`", (inspect.getdoc(getattr(room, name)) or "").partition("\n")[0]) for name in names]
        tables.append(f"**{heading}**\n\n" + Table.of("", ("<on the tape", "<what it is"), rows).to_markdown())
    return "\n\n".join([*tables[1:-1], tables[0], tables[-1]])
