"""One Fourier transform on the CPU, by MKL: how its result lies in memory, and the copies that it makes.

MKL is given batches of one stride. The dimensions that are not transformed become one, those of the largest stride
first, which takes a contiguous copy where no single stride goes through them; what is repeated by a stride of 0 is
copied, too. Back to real numbers over several dimensions are two transforms: a complex one over all but the last, then
the last. What MKL takes for itself does not come from PyTorch's allocator.

Source (PyTorch 2.13): aten/src/ATen/native/mkl/SpectralOps.cpp `_exec_fft`, `_sort_dims`, `_fft_c2r_mkl`.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor


def transform(func: Any, args: Any, kwargs: Any) -> Tensor:
    """The transform on fake tensors, whose own rule orders dimensions of equal strides in another way."""
    made: Tensor = func(*args, **kwargs)
    x, dims = args[0], args[1]
    if not dims or not torch.backends.mkl.is_available():
        return made
    name = func._schema.name
    strides = x.stride()
    if name == "aten::_fft_c2r" and len(dims) > 1:
        strides = _contiguous(x.shape, _order(strides, dims[:-1], dims[:-1]))
    to_sort = {"aten::_fft_c2c": dims, "aten::_fft_r2c": dims[:-1], "aten::_fft_c2r": ()}[name]
    signal = dims[-1:] if name == "aten::_fft_c2r" else dims
    order = _order(strides, signal, to_sort)
    return torch.empty_strided(made.shape, _contiguous(made.shape, order), dtype=made.dtype, device=made.device)


def transform_bytes(args: Any, kwargs: Any, y: Tensor) -> Any:
    """Most bytes beside operand and result, of complex numbers, or of real ones that become complex."""
    x, dims = args[0], args[1]
    return _copied(x.shape, x.stride(), dims) * x.element_size() if dims and torch.backends.mkl.is_available() else 0


def to_real_bytes(args: Any, kwargs: Any, y: Tensor) -> Any:
    """Most bytes beside operand and result, where complex numbers become real."""
    x, (*others, last) = args[0], args[1]
    if not others or not torch.backends.mkl.is_available():
        return transform_bytes(args, kwargs, y)
    between = x.numel()
    first = _copied(x.shape, x.stride(), others) + between  # while there is no result yet
    second = between + _copied(x.shape, _contiguous(x.shape, _order(x.stride(), others, others)), [last])
    return max(first * x.element_size() - y.numel() * y.element_size(), second * x.element_size())


def _copied(shape: Sequence[Any], strides: Sequence[Any], dims: Sequence[int]) -> Any:
    """Elements of a copy in which the dimensions that are not transformed are one; 0 where they are so already."""
    wide = [d for d in _batch(strides, dims) if shape[d] != 1]
    through = all(strides[a] == strides[b] * shape[b] for a, b in pairwise(wide))
    repeated = any(strides[d] == 0 for d in (*wide, *dims))
    return prod(shape) if repeated or not through else 0


def _batch(strides: Sequence[Any], dims: Sequence[int]) -> list[int]:
    """Dimensions that are not transformed, by their strides; of equal ones, as C++'s `partition` leaves them."""
    left, right, order = 0, len(strides) - 1, list(range(len(strides)))
    while True:
        while left <= right and order[left] not in dims:
            left += 1
        while left <= right and order[right] in dims:
            right -= 1
        if left >= right:
            return sorted(order[:left], key=lambda d: -strides[d])
        order[left], order[right] = order[right], order[left]


def _order(strides: Sequence[Any], dims: Sequence[int], to_sort: Sequence[int]) -> list[int]:
    """Dimensions of a result, outermost first: those transformed are innermost, by the operand's strides."""
    sorted_dims = sorted(to_sort, key=lambda d: -strides[d])
    return [*_batch(strides, dims), *sorted_dims, *dims[len(to_sort) :]]


def _contiguous(shape: Sequence[Any], order: Sequence[int]) -> list[Any]:
    strides, step = [0] * len(order), 1
    for d in reversed(order):
        strides[d], step = step, step * shape[d]
    return strides
