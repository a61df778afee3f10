"""The plain PyTorch loops of flash-linear-attention, which run on a CPU; its layers do not."""

import importlib
import warnings

import pytest


def naive(module, name):
    """`fla.ops.<module>.naive.<name>`, or the test is skipped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says on import that Triton has no device
        try:
            return getattr(importlib.import_module(f"fla.ops.{module}.naive"), name)
        except ImportError:
            pytest.skip("flash-linear-attention is not installed: pip install --no-deps -r tests/oracles.txt")
