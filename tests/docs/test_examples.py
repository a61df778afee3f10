"""Examples in docstrings: each is run as it stands, and every public function has one."""

import doctest
import importlib
from pathlib import Path

import pytest

import seqcost

SOURCE = Path(seqcost.__file__).parent
MODULES = sorted(
    ".".join(("seqcost", *path.relative_to(SOURCE).with_suffix("").parts))
    for path in SOURCE.rglob("*.py")
    if "    >>> " in path.read_text(encoding="utf-8")
)
PUBLIC = sorted(name for name in seqcost.__all__ if callable(getattr(seqcost, name)))


@pytest.mark.parametrize("module", MODULES)
def test_examples_run(module):
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [example for example in finder.find(importlib.import_module(module)) if example.examples]
    assert found, "an example in this file is none that doctest finds"
    said = []
    for example in found:
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example, out=said.append)
    assert not said, "".join(said)


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_public_has_an_example(name):
    value = getattr(seqcost, name)
    if isinstance(value, type) and issubclass(value, Exception):
        return
    assert ">>> " in (value.__doc__ or ""), f"seqcost.{name} has no example"
