"""What scripts/new-architecture makes is sound as it stands, and nothing is written where a word is wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "new-architecture"
PLACES = {
    "src/seqcost/formulas/architectures.py",
    "src/seqcost/formulas/mixers/my_mixer.py",
    "src/seqcost/layers/mixers/my_mixer.py",
    "tests/mixers/test_my_mixer.py",
    "docs/mixers/my_mixer.md",
}


@pytest.fixture
def copy(tmp_path):
    for folder in ("src/seqcost", "tests/mixers", "docs/mixers"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def made(folder, *words):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words, "--root", str(folder)], capture_output=True, text=True, check=False
    )


def test_five_places_and_nothing_else_and_they_are_sound(copy):
    before = contents(copy)
    done = made(copy, "my-mixer", "--title", "My mixer")
    assert done.returncode == 0, done.stderr
    after = contents(copy)
    assert {name for name in after if before.get(name) != after[name]} == PLACES
    assert set(done.stdout.splitlines()[:-1]) == PLACES
    checked = subprocess.run(
        [sys.executable, "-m", "seqcost", "check-architecture", "my-mixer", "--json"],
        capture_output=True, text=True, check=False, cwd=copy, env=os.environ | {"PYTHONPATH": str(copy / "src")},
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(checked.stdout)["sound"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["My Mixer"], "words joined by hyphens"),
        (["lstm"], "is there already"),
        (["my-mixer", "--family", "trees"], "one of these is allowed: attention;"),
    ],
)
def test_a_wrong_word_writes_nothing(copy, words, says):
    before = contents(copy)
    done = made(copy, *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert contents(copy) == before
