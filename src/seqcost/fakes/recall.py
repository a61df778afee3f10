"""Operators on fake tensors whose result is known from an equal call before: shapes are worked out once.

A model repeats its layers, and each layer calls the operators of the one before with tensors of the same shapes.
PyTorch has such a memory too, but asking it costs more than most of what is asked. An operator is recalled where its
result can only be new memory, a view of its first argument, or that argument itself, written to; never where a value
is read.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, in_kernel_invocation_manager

from seqcost.fakes.faking import empty_fake
from seqcost.fakes.half_precision import as_on_the_cpu
from seqcost.fakes.trees import tensors_in

_PLAIN = (int, float, bool, type(None), str, torch.dtype, torch.device, torch.layout, torch.memory_format)
_UNKNOWN, _ITSELF = object(), object()
_NEVER = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape, torch.Tag.inplace_view)


class Recall:
    """Results by operator and by the shapes of its arguments."""

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def __call__(self, operator: Any, args: Any, kwargs: Any) -> Any:
        """`operator(*args, **kwargs)`, from memory where it can be."""
        gives = _gives(operator)
        if gives is None:
            return operator(*args, **kwargs)
        modes: list[FakeTensorMode] = []
        key = _key((args, tuple(kwargs.items()) if kwargs else ()), modes)
        if key is _UNKNOWN or not modes:
            return operator(*args, **kwargs)
        known = self._known.get((operator, key))
        if known is None:
            out = _called(gives, operator, args, kwargs)
            self._known[operator, key] = _learnt(gives, out, args, kwargs)
            return out
        if known is _UNKNOWN:
            return _called(gives, operator, args, kwargs)
        if known is _ITSELF:
            return args[0]
        made = _new if gives == "new" else _view_of(args[0])
        if isinstance(known, list):
            return (tuple if gives == "new" else list)(made(modes[0], one) for one in known)
        return made(modes[0], known)


def _called(gives: str, operator: Any, args: Any, kwargs: Any) -> Any:
    out = operator(*args, **kwargs)
    return as_on_the_cpu(operator, args, kwargs, out) if gives == "new" else out


@cache
def _gives(operator: Any) -> str | None:
    """Whether an operator gives "new" memory, a "view" of its first argument or that "itself"; else None."""
    if operator.namespace != "aten" or any(tag in operator.tags for tag in _NEVER):
        return None
    first, *others = operator._schema.arguments or [None]
    aliases = [value.alias_info for value in (*others, *operator._schema.returns) if value.alias_info is not None]
    if first is None or first.alias_info is None:
        return None if aliases else "new"
    if any(argument.alias_info is not None for argument in others) or len(aliases) != len(operator._schema.returns):
        return None
    return "itself" if first.alias_info.is_write and len(aliases) == 1 else "view" if operator.is_view else None


def _key(value: Any, modes: list[FakeTensorMode]) -> Any:
    kind = type(value)
    if kind is FakeTensor or kind is torch.nn.Parameter:
        if not isinstance(value, FakeTensor) or value.fake_mode.shape_env is not None:  # real, or of a symbolic size
            return _UNKNOWN
        if value.constant is not None:  # what follows from known values is known as well
            return _UNKNOWN
        modes.append(value.fake_mode)
        return (tuple(value.shape), value.stride(), value.storage_offset(), value.dtype, value.fake_device)
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


def _learnt(gives: str, out: Any, args: Any, kwargs: Any) -> Any:
    if gives == "itself":
        return _ITSELF if out is args[0] else _UNKNOWN
    # `_unsafe_view` and its like declare new memory and return the old; `to` declares the old and returns new.
    storages = {t.untyped_storage()._cdata for t in tensors_in((args, kwargs))}
    shared = [t.untyped_storage()._cdata in storages for t in tensors_in(out)]
    if any(shared) if gives == "new" else not all(shared):
        return _UNKNOWN
    return _description(out, None if gives == "new" else args[0])


def _description(out: Any, base: Tensor | None) -> Any:
    """Shape, strides, offset, format and device of what came out; of several, a list."""
    if isinstance(out, tuple if base is None else list):
        parts = [_description(one, base) for one in out]
        return _UNKNOWN if any(part is _UNKNOWN or isinstance(part, list) for part in parts) else parts
    if not isinstance(out, FakeTensor) or out.constant is not None:
        return _UNKNOWN
    offset = int(out.storage_offset())
    if offset if base is None else (out.dtype != base.dtype or out.is_complex()):  # a complex one may be a conjugate
        return _UNKNOWN
    return (tuple(out.shape), out.stride(), offset, out.dtype, out.fake_device)


def _new(mode: FakeTensorMode, description: Any) -> Tensor:
    shape, stride, _, dtype, device = description
    return empty_fake(mode, shape, stride, dtype, device)


def _view_of(base: Tensor) -> Any:
    def view(mode: FakeTensorMode, description: Any) -> Tensor:
        shape, stride, offset, _, device = description
        with in_kernel_invocation_manager(mode):
            seen = torch.as_strided(base, shape, stride, offset)
        return FakeTensor(mode, seen, device)

    return view
