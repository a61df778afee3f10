"""Copies of modules and tensors that have shapes and no memory."""

import gc
import logging
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
    in_kernel_invocation_manager,
    unset_fake_temporarily,
)
from torch.nn.modules.module import register_module_parameter_registration_hook

from seqcost.fakes.copies import deep_copy
from seqcost.fakes.formats import WORDS
from seqcost.fakes.threads import in_this_thread
from seqcost.fakes.values import ValuedMode
from seqcost.layers.core.layer import Layer

_NEW_OBJECTS = 100_000  # between two looks for circles
# What only a run on fake tensors raises: a value was asked for, or an operator has no rule for its shapes.
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
    return ValuedMode(allow_fallback_kernels=False)


@contextmanager
def inside(mode: FakeTensorMode) -> Iterator[None]:
    """The mode on, and fake tensors that can be copied: constructors copy layers, towers, blocks of an encoder."""

    def copied_as_fake(self: FakeTensor, memo: dict[int, Any]) -> Tensor:
        if id(self) in memo:
            return memo[id(self)]
        made = self.detach().clone()
        memo[id(self)] = made = (
            nn.Parameter(made, self.requires_grad)
            if isinstance(self, nn.Parameter)
            else made.requires_grad_(self.requires_grad)
        )
        return made

    had = FakeTensor.__dict__.get("__deepcopy__")
    FakeTensor.__deepcopy__ = copied_as_fake  # type: ignore[assignment, method-assign]
    try:
        with mode:
            yield
    finally:
        if had is None:
            del FakeTensor.__deepcopy__
        else:
            FakeTensor.__deepcopy__ = had  # type: ignore[method-assign]


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep PyTorch from logging what a fake operator refuses: a length that a model does not take is no news."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Have Python look for circles of garbage seldom: each look goes through a whole model's parts and the book."""
    before = gc.get_threshold()
    gc.set_threshold(max(before[0], _NEW_OBJECTS) if before[0] else 0, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


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
        return deep_copy(value)


def as_fake(tensor: Tensor, mode: FakeTensorMode, dtype: torch.dtype | None = None) -> Tensor:
    """An input without memory; a floating-point one in the data type, where one is given."""
    if isinstance(tensor, FakeTensor):
        fake: Tensor = tensor
    else:
        with unset_fake_temporarily():
            fake = mode.from_tensor(tensor.detach())
    if dtype is not None and tensor.dtype in WORDS and tensor.dtype != dtype:
        with mode:
            fake = fake.detach().to(dtype)
    return fake.requires_grad_(tensor.requires_grad)


def empty_fake(mode: FakeTensorMode, shape: Any, strides: Any, dtype: torch.dtype, device: torch.device) -> FakeTensor:
    """A new tensor without memory, of any layout."""
    with in_kernel_invocation_manager(mode):
        made = torch.empty_strided(shape, strides, dtype=dtype, device="meta")
    return FakeTensor(mode, made, device)


def retype(module: nn.Module, dtype: torch.dtype) -> None:
    """Parameters and buffers of the formats that are computed in, in this one.

    `Module.to` cannot swap fake ones, and would turn float8, in which weights are only held, into it as well. A layer
    of ours then keeps its tables as wide as after `Module.to`.
    """
    before = [(part, dict(part._buffers)) for part in module.modules() if isinstance(part, Layer)]
    made: dict[int, Any] = {}
    for part in module.modules():
        kept = getattr(part, "stored_names", ())  # of a packed weight
        for name, old in [*part._parameters.items(), *part._buffers.items()]:
            if name in kept or old is None or old.dtype not in WORDS or old.dtype == dtype:
                continue
            if id(old) not in made:
                new = old.detach().to(dtype)
                made[id(old)] = nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new
            setattr(part, name, made[id(old)])
    for layer, buffers in before:
        layer.settle_buffers(buffers)


@contextmanager
def no_larger_than(limit_bytes: int) -> Iterator[None]:
    """Stop a constructor that makes parameters of more than so many bytes in all."""
    total = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
        nonlocal total
        total += 0 if parameter is None else parameter.numel() * parameter.element_size()
        if total > limit_bytes:
            raise MemoryError(f"its constructor needs values, and its parameters exceed {limit_bytes} bytes")

    hook = register_module_parameter_registration_hook(in_this_thread(count))
    try:
        yield
    finally:
        hook.remove()
