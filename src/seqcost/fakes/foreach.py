"""Operators on lists of tensors, as optimizers call them with `foreach=True`: the CPU loops over the lists.

(aten/src/ATen/native/ForeachOpsKernels.cpp: every `foreach_tensor_*_kernel_slow` calls the plain operator for each
tensor.) So `_foreach_mul_` is booked as so many `mul_`; what it makes lives until the list does.
"""

from functools import cache
from typing import Any

import torch

PREFIX = "aten::_foreach_"
_ATEN = torch.ops.aten
_OTHER_NAMES = {"norm": "linalg_vector_norm"}
_SCALED, _NUM_SCALED = ("addcmul", "addcdiv"), 4  # of four arguments the plain operator takes the last by name


@cache
def is_foreach(operator: Any) -> bool:
    """Whether the operator works on lists."""
    return str(operator._schema.name).startswith(PREFIX)


def one_by_one(operator: Any, args: Any, kwargs: Any) -> list[torch.Tensor] | None:
    """The plain operator for each tensor of the lists; its results, unless it works in place."""
    name = str(operator._schema.name).removeprefix(PREFIX)
    in_place = name.endswith("_")
    base = name.rstrip("_")
    plain = getattr(_ATEN, _OTHER_NAMES.get(base, base) + "_" * in_place)
    scaled = base in _SCALED and len(args) == _NUM_SCALED
    results = []
    for index in range(next(len(value) for value in args if isinstance(value, list | tuple))):
        row = [_at(index, value) for value in args]
        named = {key: _at(index, value) for key, value in kwargs.items()}
        if scaled:
            value = row.pop()
            if isinstance(value, torch.Tensor):  # a tensor of scales, one for each: read, as the kernel does
                value = value.item() if value.dim() == 0 else value[index].item()
            named["value"] = value
        results.append(plain(*row, **named))
    return None if in_place else results


def _at(index: int, value: Any) -> Any:
    return value[index] if isinstance(value, list | tuple) else value
