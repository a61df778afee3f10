"""A folder's files stand in for nothing: only the module that is named is run, and what it imports itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from seqcost.errors import BadTarget
from seqcost.measure import Limits, measure
from seqcost.programs.own_code import imported
from seqcost.records import Job

MARKS = "from pathlib import Path\nPath('ran-' + __name__).touch()\n"
# Python's own modules that torch, rich or this program imports, some only when they are needed.
TRAPS = ("copy", "statistics", "random", "csv", "numbers", "webbrowser", "pickle", "json")
MODEL = "import torch, sibling\n\n\ndef make():\n    return torch.nn.Linear(4, 4)\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text(MARKS)
    (tmp_path / "sibling.py").write_text("")
    (tmp_path / "my_model_of_four.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def marks(folder):
    return sorted(path.name for path in folder.glob("ran-*"))


def test_the_command_runs_the_named_file_alone(folder):
    script = "from seqcost.cli.main import main; main()"
    words = ["count", "my_model_of_four:make", "--length", "8"]
    ended = subprocess.run([sys.executable, "-P", "-c", script, *words], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "by fake tensors" in ended.stdout
    assert marks(folder) == []


def test_the_measuring_process_runs_the_named_file_alone(folder):
    sys.path += ["", str(folder)]  # as in a session that was started in the folder
    target = {"kind": "callable", "path": "my_model_of_four:make"}
    job = Job(target=target, phase="forward", B=1, T=8, dtype="float32", threads=1)
    found = measure(job, Limits(time_s=60, memory_bytes=2**31))
    assert (found.status, found.reason) == ("ok", None)
    assert marks(folder) == []


def test_a_module_of_the_folder_comes_before_installed_ones(folder):
    (folder / "onnxscript").mkdir()
    (folder / "onnxscript" / "__init__.py").write_text("")
    (folder / "onnxscript" / "of_this_folder.py").write_text("here = True\n")
    assert "onnxscript" not in sys.modules or pytest.skip("imported already")
    try:
        assert imported("onnxscript.of_this_folder").here
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "onnxscript"]:
            del sys.modules[name]
    python = Path(sys.modules["os"].__file__).parent
    places = [Path(entry) for entry in sys.path]
    assert places.index(python) < places.index(folder)


def test_a_name_of_pythons_own_is_refused_in_one_sentence(folder):
    with pytest.raises(BadTarget, match=r"^statistics is the name of a module of Python itself; give the one in "):
        imported("statistics")
    assert marks(folder) == []


def test_a_folder_without_the_module_does_not_join_the_path(folder):
    before = list(sys.path)
    assert imported("torch.nn").Linear
    assert sys.path == before
