"""Peaks of training steps of thirty modules, against PyTorch's profiler: to the byte, or the difference has a name.

`benchmarks/training_peak.py` makes a page of them.
"""

import pytest
import torch
from training_modules import MODULES, NAMED

QUICK = (
    "activations in place", "language model, tied", "rotated attention", "sharpest scores", "recomputed",
    "weighed experts", "lstm, two ways", "set step by step", "image classifier", "bag of words",
)  # fmt: skip


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MODULES])
def test_the_peak_of_a_training_step(name, peaks):
    torch.manual_seed(0)
    make, inputs = MODULES[name]
    traced, real = peaks(make(), inputs())
    _, most_bytes = NAMED.get(name, ("", 0))
    assert 0 <= real - traced <= most_bytes


def test_thirty_modules():
    assert len(MODULES) == 30
    assert len(NAMED) <= 4
