"""Where things stand: the same stem everywhere, files of a readable size, imports that keep to their floors."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seqcost.formulas.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
HOUSE = ROOT / "src" / "seqcost"
MIXERS = sorted(path.stem for path in (HOUSE / "formulas" / "mixers").glob("[!_]*.py"))

# Files of more than 400 lines, each with the reason why it is one page.
LONG: dict[str, str] = {}


@pytest.mark.parametrize("stem", MIXERS)
def test_a_mixer_has_its_five_places(stem):
    assert (HOUSE / "layers" / "mixers" / f"{stem}.py").is_file()
    assert (ROOT / "tests" / "mixers" / f"test_{stem}.py").is_file()
    assert (ROOT / "docs" / "mixers" / f"{stem}.md").is_file()
    assert f"mixers/{stem}" in {found.page for found in CATALOGUE.values()}


@pytest.mark.parametrize("wing", ["layers/mixers", "../../tests/mixers", "../../docs/mixers"])
def test_no_place_has_a_mixer_without_a_formula(wing):
    stems = {
        path.stem.removeprefix("test_") for path in (HOUSE / wing).glob("[!_]*.*") if path.suffix in (".py", ".md")
    }
    assert stems - {"conftest", "index"} <= set(MIXERS)


def imported(path):
    """Modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("stem", MIXERS)
def test_a_layer_reads_the_formula_of_its_own_name_only(stem):
    read = {name for name in imported(HOUSE / "layers" / "mixers" / f"{stem}.py") if "formulas.mixers" in name}
    assert read
    assert all(
        name.startswith(f"seqcost.formulas.mixers.{stem}") or name == f"seqcost.formulas.mixers.{stem}" for name in read
    )


def test_files_are_of_a_readable_size():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for room in ("src", "tests")
        for path in (ROOT / room).rglob("*.py")
    }
    assert {name for name, length in lengths.items() if length > 400} == set(LONG)
    assert all(len(reason) > 20 for reason in LONG.values())
    assert max(lengths.values()) < 600


def test_every_module_opens_with_a_docstring():
    silent = [
        path.relative_to(ROOT).as_posix()
        for path in HOUSE.rglob("*.py")
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


def test_imports_keep_to_their_floors():
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if command is None:
        pytest.skip("import-linter is not installed")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
