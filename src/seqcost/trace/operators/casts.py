"""Copies that a pointwise kernel makes of operands of another type than it computes in, and of plain numbers.

A number becomes a tensor of its own (8 bytes), cast where the kernel computes in another type (TensorIterator.cpp
`compute_types`, BinaryOps.cpp `wrapped_scalar_tensor`). The number that autograd keeps of `x * 0.5`, 8 bytes until
the backward pass, shows itself to nobody and is not counted.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from seqcost.fakes.schemas import base_name

_CAST_NOTHING = ("aten::where", "aten::masked_fill", "aten::copy", "aten::bernoulli", "aten::_to_copy")
_COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
_WRAPPING = frozenset(
    f"aten::{name}"
    for name in (*_COMPARISONS, "add", "sub", "mul", "div", "rsub", "remainder", "fmod", "xlogy", "floor_divide",
                 "bitwise_and", "bitwise_or", "bitwise_xor", "pow")
)  # fmt: skip
_NUMBERS = {bool: torch.bool, int: torch.int64, float: torch.float64, complex: torch.complex128}


def cast_bytes(operator: Any, args: Any, out: Any) -> Any:
    """Bytes of those copies in one call; 0 for what is no pointwise operator."""
    if torch.Tag.pointwise not in operator.tags or base_name(operator) in _CAST_NOTHING:
        return 0
    tensors = [t for t in args if isinstance(t, Tensor)]
    numbers = [_NUMBERS[type(args[i])] for i in _wrapped(operator) if i < len(args) and type(args[i]) in _NUMBERS]
    if not tensors or (not numbers and len({t.dtype for t in tensors}) == 1 == len({t.dtype for t in (*tensors, out)})):
        return 0
    common = _common(tensors, numbers)
    if isinstance(out, Tensor) and out.is_floating_point() and not common.is_floating_point and not common.is_complex:
        common = out.dtype  # an integer's root
    made = sum(kind.itemsize + (0 if kind == common else common.itemsize) for kind in numbers)
    cast = [t for t in tensors if t.dtype != common]
    if isinstance(out, Tensor) and out is args[0] and out.dtype != common:
        cast.append(out)  # written into only at the end
    return made + sum(t.numel() * common.itemsize for t in cast)


@cache
def _wrapped(operator: Any) -> tuple[int, ...]:
    """Where a number that is given becomes a tensor."""
    schema = operator._schema
    wrapping = schema.name.rstrip("_") in _WRAPPING and schema.overload_name.startswith("Scalar")
    kinds = [str(argument.type) for argument in schema.arguments]
    names = [argument.name for argument in schema.arguments]
    return tuple(
        i
        for i, (kind, name) in enumerate(zip(kinds, names, strict=True))
        if kind == "Tensor" or (wrapping and kind == "number" and name != "alpha")
    )


def _common(tensors: list[Tensor], numbers: list[torch.dtype]) -> torch.dtype:
    """The type in which a kernel computes: a lone number or a tensor of no dimension decides only by its kind."""
    shaped = [t.dtype for t in tensors if t.dim() > 0]
    lone = [t.dtype for t in tensors if t.dim() == 0]
    default = torch.get_default_dtype()
    plain = [{torch.float64: default, torch.complex128: default.to_complex()}.get(kind, kind) for kind in numbers]
    found: torch.dtype | None = None
    for group in (shaped, lone, plain):
        if group:
            highest = group[0]
            for dtype in group[1:]:
                highest = torch.promote_types(highest, dtype)
            found = highest if found is None or _kind(highest) > _kind(found) else found
    assert found is not None
    return found


def _kind(dtype: torch.dtype) -> int:
    return 3 if dtype.is_complex else 2 if dtype.is_floating_point else int(dtype != torch.bool)
