"""`pip install seqcost` without extras: every command answers what formulas answer, and names the line for the rest.

The packages that pyproject.toml names as dependencies, and theirs, are linked into a folder, the only one on the path
of a fresh process: what is missing in an installation from scratch is missing here.
"""

import json
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from mutated_files import SOUND, packed
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

RUN = """
import contextlib, io, json, sys, traceback
from seqcost.cli.main import main
found = []
for words in json.loads(sys.stdin.read()):
    out, err, code = io.StringIO(), io.StringIO(), None
    sys.argv = ["seqcost", *words]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            traceback.print_exc()
    found.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(found))
"""


def closure(names):
    """The distributions that `pip install` brings for these requirements."""
    wanted, seen = [Requirement(name) for name in names], set()
    while wanted:
        requirement = wanted.pop()
        if requirement.name.lower() in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(requirement.name.lower())
        wanted += [Requirement(text) for text in metadata.requires(requirement.name) or ()]
    return seen


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The folder of an installation without extras."""
    folder = tmp_path_factory.mktemp("small")
    for name in closure(PROJECT["dependencies"]):
        files = metadata.files(name) or ()
        for top in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            (folder / top).symlink_to(metadata.distribution(name).locate_file(top))
    (folder / "seqcost").symlink_to(ROOT / "src" / "seqcost")
    return folder


def started(small, program, given=""):
    """A fresh interpreter that sees the standard library and the folder; -S leaves out every other installation."""
    return subprocess.run(
        [sys.executable, "-S", "-c", program],
        input=given, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(small), "PATH": "", "COLUMNS": "100", "HOME": str(small), "SEQCOST_PROGRESS": "0"},
        cwd=small,
    ).stdout  # fmt: skip


def ran(small, commands):
    return json.loads(started(small, RUN, json.dumps(commands)))


def test_what_formulas_answer(small, tmp_path):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(packed(SOUND))
    commands = [
        ["--help"],
        ["list"],
        ["explain", "mamba"],
        ["explain", "lstm", "--latex"],
        ["count", "gpt2", "--length", "1k,128k"],
        ["count", "gpt2", "--phase", "train", "--json"],
        ["count", "gpt2", "--by", "module"],
        ["count", "gpt2", "--explain", "flops"],
        ["count", "gpt2", "--letters", "auto"],
        ["count", str(weights)],
        ["diff", "gpt2", "gpt2-medium"],
        ["compare", "transformer", "lstm", "--lengths", "64..4096", "--no-report"],
        ["compare", "transformer", "lstm", "--out", str(tmp_path / "report")],
        ["results", "--store", str(tmp_path / "none.sqlite")],
    ]
    *answered, results = ran(small, commands)
    for words, (code, out, err) in zip(commands, answered, strict=False):
        assert code in (None, 0), (words, err)
        assert out.strip(), words
        assert err == "", words
    assert "pip install 'seqcost[plot]'" in answered[-1][1]
    assert (tmp_path / "report" / "index.html").read_text(encoding="utf-8").count("<table") >= 2
    assert not [*(tmp_path / "report").glob("*.png")]
    assert results[0] == 2
    assert "does not exist" in results[2]


REFUSED = [
    (["count", "gpt2", "--trace"], "torch"),
    (["count", "gpt2", "--phase", "train", "--optimizer", "adamw"], "torch"),
    (["count", "my_module:make"], "torch"),
    (["count", "hf:gpt2"], "hf"),
    (["count", "hf:gpt2", "--letters", "auto"], "hf"),
    (["count", "model.onnx"], "onnx"),
    (["check", "lstm"], "torch"),
    (["check-architecture", "lstm"], "torch"),
    (["compare", "lstm", "gru", "--trace", "--no-report"], "torch"),
    (["compare", "lstm", "gru", "--measure", "--no-report"], "torch"),
    (["measure", "lstm"], "torch"),
    (["claims", "1"], "torch"),
    (["diff", "gpt2", "gpt2-medium", "--trace"], "torch"),
    (["count", "gpt2", "--csv", "--parquet", "rows.parquet"], "parquet"),
    (["count", "gpt2", "--timeline", "live.png"], "plot"),
]


def test_what_is_missing_names_its_line(small):
    for (words, extra), (code, out, err) in zip(REFUSED, ran(small, [words for words, _ in REFUSED]), strict=True):
        assert code == 2, (words, out, err)
        assert err.startswith("seqcost: "), err
        assert err.count("\n") == 1, err
        assert f"pip install 'seqcost[{extra}]'" in err, words
        assert out == "", words


PYTHON = """
import inspect, json, seqcost
inspect.getmembers(seqcost)
said = []
for ask in (
    lambda: seqcost.count("gpt2", trace=True), lambda: seqcost.check("lstm"), lambda: seqcost.watch(),
    lambda: __import__("seqcost.layers"), lambda: __import__("seqcost.trace"), lambda: __import__("seqcost.measure"),
):
    try:
        ask()
    except seqcost.MissingExtra as error:
        assert isinstance(error, (ValueError, ImportError))
        said.append(str(error))
assert seqcost.count("gpt2", length=1024).flops == 291648307200
assert seqcost.configure("lstm").params().total() > 0
print(json.dumps(said))
"""


def test_in_python_too(small):
    said = json.loads(started(small, PYTHON))
    assert len(said) == 6
    assert all("pip install 'seqcost[torch]'" in sentence for sentence in said)


def test_nothing_optional_is_there(small):
    looked = started(small, "import importlib.util as u\nprint([u.find_spec(p) for p in ('torch', 'psutil', 'onnx')])")
    assert looked.strip() == "[None, None, None]"


def test_every_package_has_its_extra():
    from seqcost.extras import PACKAGES

    extras = PROJECT["optional-dependencies"]
    assert {extra for _, extra in PACKAGES.values()} <= set(extras)
    for package, (_, extra) in PACKAGES.items():
        assert any(Requirement(text).name == package for text in extras[extra]), package
