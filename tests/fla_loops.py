"""The plain PyTorch loops of flash-linear-attention, which run on a CPU; its layers do not."""

import importlib
import importlib.util
import warnings

import pytest


def naive(module, name):
    """`fla.ops.<module>.naive.<name>`, or the test is skipped."""
    if importlib.util.find_spec("fla") is None:
        pytest.skip("flash-linear-attention is not installed: pip install --no-deps -r tests/oracles.txt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says on import that Triton has no device
        found = getattr(importlib.import_module(f"fla.ops.{module}.naive"), name)
    _give_back_mamba2()
    return found


def _give_back_mamba2():
    """On import it puts its own Mamba-2, which needs a GPU, in the place of the one of transformers."""
    from transformers.models.auto import configuration_auto, modeling_auto

    for mapping in (configuration_auto.CONFIG_MAPPING, *vars(modeling_auto).values()):
        registered = getattr(mapping, "_extra_content", {})
        for key in [key for key, value in registered.items() if "fla." in f"{value} {key}"]:
            del registered[key]
