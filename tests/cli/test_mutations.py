"""A few of the odd questions of `benchmarks/mutations.py`, in a process of their own, which refuses a network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mutated_cases import SHARES, family_of
from random_modules import NAMES

SEED, CASES = 20261126, 40
ASK = """
import json, os, sys, tempfile
sys.path.insert(0, sys.argv[1])
sys.dont_write_bytecode = True
import mutated_cases
mutated_cases.watch()
sound = {"onnx": mutated_cases.sound_graph(), "programs": mutated_cases.sound_program()}
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    found = [mutated_cases.ask(number, int(sys.argv[2]), folder, sound) for number in range(int(sys.argv[3]))]
print(json.dumps(found))
"""


def test_odd_questions_are_answered_or_refused():
    pytest.importorskip("onnx")
    pytest.importorskip("transformers")
    command = [sys.executable, "-P", "-c", ASK, str(Path(__file__).parents[1]), str(SEED), str(CASES)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(ended.stdout.splitlines()[-1])
    assert len(found) == CASES
    assert [row for row in found if row[1] not in ("answered", "refused")] == []
    assert {row[1] for row in found} == {"answered", "refused"}


def test_families_share_the_cases():
    found = [family_of(number) for number in range(10_000)]
    assert {name: sum(family == name for family, _ in found) for name in SHARES} == SHARES
    assert all(sorted(n for family, n in found if family == name) == list(range(SHARES[name])) for name in SHARES)
    assert len(set(NAMES)) == 48
