"""Releases of the packages behind a trace: the decode tests on the newest, and what an answer says beyond it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from seqcost.questions.count import count
from seqcost.report.counts import remarks
from seqcost.trace.answer import versions

HERE = Path(__file__).parents[2]
NEWEST = Path(sys.prefix) / "newest"
DECODING = [f"programs/hugging_face/test_{name}.py" for name in ("decode_loop", "caches", "newest")]
TINY = {
    "num_hidden_layers": 1,
    "hidden_size": 32,
    "intermediate_size": 64,
    "vocab_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def pinned(file, package):
    return re.search(rf"^{package}==([\d.]+)", (HERE.parent / file).read_text("utf-8"), re.MULTILINE)[1]


@pytest.mark.slow
@pytest.mark.skipif(bool(os.environ.get("SEQCOST_ON_NEWEST")), reason="runs there already")
@pytest.mark.timeout(600)
def test_decoding_on_the_newest_release():
    if not (NEWEST / "transformers").is_dir():
        assert not os.environ.get("CI"), "scripts/test installs it"
        pytest.skip(f"pip install --no-deps --target {NEWEST} -r tests/newest.txt, as scripts/test does")
    path = os.pathsep.join([str(NEWEST), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(str(HERE / file) for file in DECODING)]
    ran = subprocess.run(
        command, cwd=HERE.parent, env=os.environ | {"PYTHONPATH": path, "SEQCOST_ON_NEWEST": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-1000:]


@pytest.mark.skipif(not os.environ.get("SEQCOST_ON_NEWEST"), reason="the release of constraints.txt")
def test_it_is_the_newest_release_that_runs():
    import transformers

    assert transformers.__version__ == pinned("tests/newest.txt", "transformers")


def test_what_is_said_to_be_tested_is_what_is_installed_for_the_tests():
    assert {
        "torch": pinned("constraints.txt", "torch"),
        "transformers": pinned("tests/newest.txt", "transformers"),
    } == versions.TESTED


def test_an_answer_says_which_release_it_rests_on(monkeypatch):
    answer = count("hf:llama", length=8, sizes=TINY)
    assert answer.conventions["package"].startswith("transformers 5.")
    assert "untested" not in answer.conventions
    monkeypatch.setitem(versions.TESTED, "transformers", "4.57.1")
    answer = count("hf:llama", length=8, sizes=TINY)
    assert "is newer than 4.57.1" in answer.conventions["untested"]
    assert any("is newer than 4.57.1" in note for note in remarks([answer.to_dict()]))


def test_a_module_without_the_package_rests_on_pytorch_alone(monkeypatch):
    monkeypatch.setitem(versions.TESTED, "transformers", "4.57.1")
    assert versions.said_of_versions(nn.Linear(2, 2)) == {}
    monkeypatch.setitem(versions.TESTED, "torch", "2.9.1")
    assert "torch" in versions.said_of_versions(nn.Linear(2, 2))["untested"]
