"""flash-linear-attention's own kernels, interpreted: the adapters fit what they really compute, gradients too."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seqcost.layers.ops.kernels import KERNELS

SCRIPT = Path(__file__).parents[1] / "interpreted_kernels.py"
TOLERANCE = {"float32": 2e-5, "float16": 2e-3}  # the kernels round what they multiply to the dtype of the values
CASES = {
    "linear-attention": "linear_attention", "retention": "linear_attention", "learnt-constant": "linear_attention",
    "gate-a-token": "linear_attention", "gate-a-feature": "gated_linear_attention", "delta-rule": "delta_rule",
    "gated-delta-rule": "gated_delta_rule", "ssd": "ssd",
}  # fmt: skip


@pytest.fixture(scope="module")
def errors():
    pytest.importorskip("fla.ops", reason="flash-linear-attention is not installed")
    interpreted = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, str(SCRIPT)]
    done = subprocess.run(command, env=interpreted, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_kernel_equals_the_pytorch_form(case, errors):
    assert set(errors[case]) == {str(t).removeprefix("torch.") for t in KERNELS[CASES[case]].dtypes} - {"bfloat16"}
    for name, found in errors[case].items():
        assert len(found) >= 5  # y, the state, and gradients of at least q, k, v
        assert max(found) < TOLERANCE[name], (name, found)
