"""Copies of modules and tensors that have shapes and no memory."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeCopyMode,
    FakeTensor,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
    unset_fake_temporarily,
)

from seqcost.trace.trees import map_tensors

# What running on fake tensors raises where a real run would not: a value is asked for, or an operator has no shape rule.
UNFAKEABLE = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
    NotImplementedError,
    RuntimeError,
)


def fake_mode() -> FakeTensorMode:
    """A mode in which no kernel runs: one without a shape rule is an error, not a computation on zeros."""
    return FakeTensorMode(allow_fallback_kernels=False)


@contextmanager
def fake_copy(module: nn.Module) -> Iterator[tuple[FakeTensorMode, Any]]:
    """A fake mode that is on, and a copy of the module in it."""
    mode = fake_mode()
    twin = copied(module, mode)
    with mode:
        yield mode, twin


def copied(value: Any, mode: FakeTensorMode) -> Any:
    """A deep copy whose tensors have no memory; the original is only read."""
    with unset_fake_temporarily(), FakeCopyMode(mode):
        return copy.deepcopy(value)


def as_fake(value: Any, mode: FakeTensorMode) -> Any:
    """The same structure of inputs with fake tensors in it."""

    def convert(tensor: Tensor) -> Tensor:
        if isinstance(tensor, FakeTensor):
            return tensor
        return mode.from_tensor(tensor.detach()).requires_grad_(tensor.requires_grad)

    return map_tensors(convert, value)
