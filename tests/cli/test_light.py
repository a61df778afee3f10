"""Formula-only commands load no PyTorch: asked in fresh processes, by listing the modules at the end."""

import json
import subprocess
import sys

import pytest
from mutated_files import SOUND, packed

PROBE = """
import contextlib, io, json, sys
with contextlib.redirect_stdout(io.StringIO()):
    try:
        {code}
    except SystemExit:
        pass
print(json.dumps(sorted(m for m in sys.modules if "." not in m)))
"""


def modules_after(code):
    ended = subprocess.run([sys.executable, "-c", PROBE.format(code=code)], capture_output=True, text=True, check=True)
    return set(json.loads(ended.stdout))


COMMANDS = [
    "--help",
    "list",
    "machines",
    "machines h100",
    "explain lstm",
    "explain gpt2 --latex",
    "count gpt2",
    "count gpt2 --by module",
    "count gpt2 --explain flops",
    "diff gpt2 llama-3-8b",
    "fit gpt2 --memory 8GiB --no-remedies",
    "count llama-3.1-405b --length 1M --json",
]


@pytest.mark.parametrize("words", COMMANDS)
def test_command_loads_no_torch(words):
    loaded = modules_after(f"sys.argv = ['seqcost', *{words.split()!r}]; from seqcost.cli.main import main; main()")
    assert "seqcost" in loaded
    assert "torch" not in loaded


def test_counting_as_json_needs_neither_sympy_nor_numpy():
    loaded = modules_after(
        "sys.argv = ['seqcost', 'count', 'gpt2', '--json']; from seqcost.cli.main import main; main()"
    )
    assert not loaded & {"torch", "sympy", "numpy", "matplotlib", "rich"}


def test_importing_loads_no_torch():
    assert "torch" not in modules_after("import seqcost; seqcost.count('gpt2')")


def test_weights_load_no_torch(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(packed(SOUND))
    loaded = modules_after(f"sys.argv = ['seqcost', 'count', {str(path)!r}]; from seqcost.cli.main import main; main()")
    assert "rich" in loaded
    assert not loaded & {"torch", "numpy", "onnx"}


def test_the_probe_can_fail():
    assert "torch" in modules_after("import torch")
