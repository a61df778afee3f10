"""Operators on fake tensors whose result is known from an equal call before: shapes are worked out once.

A model repeats its layers, and each layer calls the operators of the one before with tensors of the same shapes.
PyTorch has such a memory too, but asking it costs more than most of what is asked. An operator is recalled only where
its result can be nothing but new memory: no argument is changed, no result is a view, no value is read.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, in_kernel_invocation_manager

from seqcost.fakes.trees import tensors_in

_PLAIN = (int, float, bool, type(None), str, torch.dtype, torch.device, torch.layout, torch.memory_format)
_UNKNOWN = object()
_NEVER = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape, torch.Tag.inplace_view)


class Recall:
    """Results by operator and by the shapes of its arguments."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def __call__(self, operator: Any, args: Any, kwargs: Any) -> Any:
        """`operator(*args, **kwargs)`, from memory where it can be."""
        if not _makes_new_memory(operator):
            return operator(*args, **kwargs)
        modes: list[FakeTensorMode] = []
        key = _key((args, tuple(kwargs.items()) if kwargs else ()), modes)
        if key is _UNKNOWN or not modes:
            return operator(*args, **kwargs)
        known = self._known.get((operator, key))
        if known is None:
            out = operator(*args, **kwargs)
            self._known[operator, key] = _UNKNOWN if _shares(out, (args, kwargs)) else _description(out)
            return out
        if known is _UNKNOWN:
            return operator(*args, **kwargs)
        if isinstance(known, list):
            return tuple(_made(modes[0], one) for one in known)
        return _made(modes[0], known)


@cache
def _makes_new_memory(operator: Any) -> bool:
    schema = operator._schema
    return (
        operator.namespace == "aten"
        and not any(tag in operator.tags for tag in _NEVER)
        and all(argument.alias_info is None for argument in (*schema.arguments, *schema.returns))
    )


def _key(value: Any, modes: list[FakeTensorMode]) -> Any:
    kind = type(value)
    if kind is FakeTensor or kind is torch.nn.Parameter:
        if not isinstance(value, FakeTensor) or value.fake_mode.shape_env is not None:  # real, or of a symbolic size
            return _UNKNOWN
        if value.constant is not None:  # what follows from known values is known as well
            return _UNKNOWN
        modes.append(value.fake_mode)
        return (tuple(value.shape), value.stride(), value.dtype, value.fake_device)
    if kind in _PLAIN:
        return (kind, value)
    if kind is tuple or kind is list:
        parts = []
        for item in value:
            part = _key(item, modes)
            if part is _UNKNOWN:
                return _UNKNOWN
            parts.append(part)
        return tuple(parts)
    return _UNKNOWN


def _shares(out: Any, given: Any) -> bool:
    # `_unsafe_view` and its like declare new memory and return the old.
    storages = {t.untyped_storage()._cdata for t in tensors_in(given)}
    return any(t.untyped_storage()._cdata in storages for t in tensors_in(out))


def _description(out: Any) -> Any:
    if isinstance(out, FakeTensor):
        new = out.storage_offset() == 0 and out.constant is None
        return (tuple(out.shape), out.stride(), out.dtype, out.fake_device) if new else _UNKNOWN
    if isinstance(out, tuple):
        parts = [_description(one) for one in out]
        return _UNKNOWN if any(part is _UNKNOWN or isinstance(part, list) for part in parts) else parts
    return _UNKNOWN


def _made(mode: FakeTensorMode, description: Any) -> Tensor:
    shape, stride, dtype, device = description
    with in_kernel_invocation_manager(mode):
        empty = torch.empty_strided(shape, stride, dtype=dtype, device="meta")
    return FakeTensor(mode, empty, device)
