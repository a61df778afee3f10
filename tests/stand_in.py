"""A table of kernels for a machine without a GPU: its functions are given, its device is the CPU."""

import dataclasses
import inspect

import pytest
import torch

from seqcost.layers.ops import kernels

NEW_ENOUGH = {name: package.oldest for name, package in kernels.PACKAGES.items()}
A_GPU = kernels.Facts(capability=(9, 0), installed=NEW_ENOUGH, broken={})


def stand_in(monkeypatch, engine, function):
    """`function` in the place of the kernel of one engine; it sees calls that the real one's signature allows."""
    kernel = kernels.KERNELS[engine]
    real = None
    if kernel.package == "fla":
        pytest.importorskip("fla.ops", reason="flash-linear-attention is not installed")
        real = kernels.load(kernel.function)

    def checked(*args, **others):
        if real is not None:
            inspect.signature(real).bind(*args, **others)
        calls.append(engine)
        return function(*args, **others)

    calls = []
    row = dataclasses.replace(kernel, device="cpu", dtypes=(torch.float32, torch.bfloat16), rounds=False)
    monkeypatch.setattr(kernels, "KERNELS", {**kernels.KERNELS, engine: row})
    monkeypatch.setattr(kernels, "facts", lambda: A_GPU)
    monkeypatch.setattr(kernels, "load", lambda _: checked)
    return calls
