"""What importing loads, each in a fresh process."""

import subprocess
import sys

import pytest

WITHOUT_TORCH = [
    "seqcost",
    "seqcost.algebra",
    "seqcost.formulas",
    "seqcost.formulas.catalogue",
    "seqcost.records",
    "seqcost.measure.runner",
    "seqcost.report",
    "seqcost.cli.main",
]


def loads(statement, package):
    """Whether a fresh interpreter has the package after the statement."""
    program = f"import sys\n{statement}\nprint({package!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1] == "True"


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_no_torch(module):
    assert not loads(f"import {module}", "torch")


def test_this_would_notice_torch():
    assert loads("import seqcost.layers", "torch")


def test_a_number_needs_neither_torch_nor_sympy():
    asked = "from seqcost import Workload, configure\nconfigure('gpt2').flops(Workload(T=1024)).lines"
    assert not loads(asked, "torch")
    assert not loads(asked, "sympy")
    assert loads("from seqcost.algebra import symbol\nsymbol('T')", "sympy")


@pytest.mark.parametrize("module", ["seqcost.layers", "seqcost.programs", "seqcost.trace"])
def test_the_compiler_waits_for_something_to_compile(module):
    assert not loads(f"import {module}", "torch._dynamo")


def test_this_would_notice_the_compiler():
    assert loads("import torch\ntorch.compiler.disable(print)", "torch._dynamo")


def test_fake_tensors_load_no_compiler():
    asked = "seqcost.count('attention-layer', trace=True, phase=phase)"
    traced = f"import seqcost\nfor phase in ('forward', 'train'): {asked}"
    assert not loads(traced, "torch._dynamo")


def test_the_compiler_works_after_a_trace_without_it():
    program = (
        "import seqcost, torch\nseqcost.count('attention-layer', trace=True)\n"
        "assert torch.compile(lambda x: x.sin() + 1, backend='eager')(torch.zeros(2)).tolist() == [1, 1]\n"
        "from torch._dynamo import config\nassert torch._dynamo.config is config\n"
        "seqcost.count('attention-layer', trace=True)"
    )
    assert loads(program, "torch._dynamo")


def test_importing_prints_nothing():
    program = "import seqcost, seqcost.layers, seqcost.trace, seqcost.records"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == done.stderr == ""
