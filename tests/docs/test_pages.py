import doctest
import re
import shlex
from pathlib import Path

import pytest
import typer

from seqcost.cli.main import app
from seqcost.formulas.catalogue import CATALOGUE
from seqcost.questions.count import count

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
WRITTEN = [*PAGES, *sorted((ROOT / "benchmarks").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ (?:\S+/)?seqcost (.+?)(?: +#.*)?$", re.MULTILINE)
INLINE = re.compile(r"`seqcost ([^`…]+)`")
OUR_OWN_PLACES = re.compile(r"/(?:work|home|root|tmp|Users|opt)/")


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def blocks_of(path, language):
    return [text for kind, text in BLOCK.findall(path.read_text("utf-8")) if kind == language]


def commands():
    for path in PAGES:
        text = path.read_text("utf-8")
        for command in dict.fromkeys([*COMMAND.findall(text), *INLINE.findall(text)]):
            yield pytest.param(command, id=f"{name_of(path)}: {command}")


@pytest.mark.parametrize("page", sorted({entry.page for entry in CATALOGUE.values()}))
def test_every_name_of_the_catalogue_has_its_page(page):
    assert (DOCS / f"{page}.md").is_file()


@pytest.mark.parametrize("command", [*commands()])
def test_commands_in_the_pages_parse(command):
    name, *arguments = shlex.split(command)
    if name in ("--help", "--version", "--install-completion", "COMMAND"):
        return
    typer.main.get_command(app).commands[name].make_context(name, arguments, resilient_parsing="--help" in arguments)


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_pages_name_no_place_of_one_machine(path):
    assert not OUR_OWN_PLACES.search(path.read_text("utf-8"))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_pictures_and_pages_that_are_linked_exist(path):
    for link in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", path.read_text("utf-8")):
        assert (path.parent / link).is_file(), link


@pytest.mark.parametrize("picture", sorted((DOCS / "pictures").glob("*")), ids=name_of)
def test_pictures_are_small(picture):
    assert picture.stat().st_size < 240_000


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in PAGES if ">>> " in p.read_text("utf-8")], ids=name_of)
def test_python_in_the_pages_gives_what_it_shows(path):
    text = "\n".join(block for block in blocks_of(path, "python") if ">>>" in block)
    example = doctest.DocTestParser().get_doctest(text, {}, name_of(path), str(path), 0)
    failures = []
    doctest.DocTestRunner().run(example, out=failures.append)
    assert not failures, "".join(failures)


def test_every_key_of_the_json_is_explained():
    page = (DOCS / "json.md").read_text("utf-8")
    assert [key for key in count("rnn", length=4).to_dict() if f"| `{key}` |" not in page] == []
