"""Memory inside one convolution on the CPU, forward and backward.

oneDNN works on copies in blocks of channels: 16, or 8 where a gradient of weights has fewer than 16 channels to read.
A first layer of few channels is read as it is. What oneDNN leaves aside (a single small sequence or image) is spread
out into columns and multiplied.

Forward exact in float32 with AVX-512; backward for channels in whole blocks and steps of 1. Not covered, so that a peak
that lies there is too low: transposed convolutions; what several threads keep to sum the gradients of weights of other
channel counts; the scratchpad of the gradient of a strided convolution's input. oneDNN sizes them by its caches.

Sources (PyTorch 2.13): aten/src/ATen/native/Convolution.cpp `use_mkldnn`, mkldnn/Conv.cpp, ConvolutionMM2d.cpp; oneDNN
v3.12 src/cpu/x64/jit_avx512_common_conv_kernel.cpp `init_conf`, jit_avx512_core_1x1_convolution.hpp (`rtus`).
"""

from math import prod
from typing import Any

import torch
from torch import Tensor

from seqcost.algebra import ceil_div

_FLOAT = 4
_BIAS_ALIGNMENT = 128
_FEW_NUMBERS, _FEW_ROWS = 20480, 16  # up to which one sequence, or a product of single points, is not oneDNN's
_FIRST_LAYER = 16  # channels below which an input is read as it is


def forward_bytes(args: Any, kwargs: Any, y: Tensor) -> Any:
    """Most bytes beside operands and result."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args
    if transposed or x.dtype != torch.float32:
        return 0
    if not _is_onednn(x, weight, stride, dilation, groups):
        return _columns(x, weight, stride, padding, y)
    blocked = _Blocked(x, weight, y, groups)
    working = (
        blocked.x(forward=True) + blocked.weight(forward=True) + blocked.y() + _strided_point(x, weight, y, stride)
    )
    shift = 0 if bias is None or not blocked.is_padded else blocked.outputs() * _FLOAT + _BIAS_ALIGNMENT
    return _copied(x) + max(working + shift - _bytes(y), blocked.y())  # the result is made last, from its copy


def backward_bytes(args: Any, kwargs: Any, out: Any) -> Any:
    """Most bytes beside operands and results: first the input's gradient is made, then the weight's."""
    dy, x, weight, _, stride, padding, dilation, transposed, _, groups, _ = args
    if transposed or x.dtype != torch.float32:
        return 0
    held, results = _copied(dy) + _copied(x), sum(_bytes(t) for t in out if t is not None)
    if not _is_onednn(x, weight, stride, dilation, groups):
        return held + _columns(x, weight, stride, padding, dy)
    blocked, dx = _Blocked(x, weight, dy, groups), out[0]
    moments = [results]
    if dx is not None and all(step == 1 for step in stride):
        moments += [blocked.y() + blocked.weight() + blocked.x(), blocked.x() + _bytes(dx)]
    elif dx is not None:
        moments += [blocked.y() + blocked.weight() + _bytes(x), 3 * _bytes(x)]  # channels come last in its copy
    if out[1] is not None and not (blocked.is_depthwise and x.dim() == 3):  # which works on what is there
        few = 3 < x.shape[1] < _FIRST_LAYER and groups == 1
        block = 8 if few else 16
        made = (0 if dx is None else _bytes(dx)) + (0 if out[2] is None else _bytes(out[2]))
        dw = blocked.weight(block, forward=x.shape[1] <= 3)
        x_read = 0 if x.shape[1] <= 3 and groups == 1 else blocked.x(block)
        shift = blocked.outputs(block) * _FLOAT + _BIAS_ALIGNMENT if out[2] is not None and blocked.is_padded else 0
        read = blocked.y(block) + x_read + dw + shift + _strided_point(x, weight, dy, stride)
        moments += [made + read, results + dw + (0 if out[2] is None else _bytes(out[2]))]
    return held + max(moments) - results


class _Blocked:
    """Sizes of copies whose channels are filled up to whole blocks; groups are copied as they are."""

    def __init__(self, x: Tensor, weight: Tensor, y: Tensor, groups: int) -> None:
        self._x, self._weight, self._y, self._groups = x, weight, y, groups
        self.is_depthwise = groups > 1 and weight.shape[1] == 1
        self.is_padded = self._filled(y.shape[1], 16) != y.shape[1]

    def x(self, block: int = 16, *, forward: bool = False) -> Any:
        """The input's, or its gradient's."""
        channels = self._x.shape[1]
        if forward and channels < _FIRST_LAYER and self._groups == 1:
            return 0
        return _bytes(self._x) // channels * self._filled(channels, block)

    def y(self, block: int = 16) -> Any:
        """The result's, or its gradient's."""
        return _bytes(self._y) // self._y.shape[1] * self.outputs(block)

    def weight(self, block: int = 16, *, forward: bool = False) -> Any:
        """The weight's, or its gradient's."""
        inputs = self._weight.shape[1]
        first = (forward and inputs < _FIRST_LAYER) or self._groups > 1
        points = prod(self._weight.shape[2:]) * (inputs if first else self._filled(inputs, block))
        return points * self.outputs(block) * _FLOAT

    def outputs(self, block: int = 16) -> Any:
        """Channels of the result."""
        return self._filled(self._y.shape[1], block)

    def _filled(self, channels: int, block: int) -> Any:
        whole = self._groups > 1 and not self.is_depthwise
        lanes = block if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else 8
        return channels if whole else ceil_div(channels, lanes) * lanes


def _is_onednn(x: Tensor, weight: Tensor, stride: Any, dilation: Any, groups: int) -> bool:
    height, width = (1, *weight.shape[2:])[-2:]
    busy = any(n != 1 for n in (*stride, *dilation)) or x.shape[0] >= _FEW_ROWS or (height, width) != (1, 1)
    plane = x.shape if x.dim() > 3 else (*x.shape[:2], 1, x.shape[2])
    large = groups > 1 or (height > 3 and width > 3) or x.shape[0] > 1 or prod(plane[:4]) > _FEW_NUMBERS
    return bool((busy or torch.get_num_threads() > 1) and large)


def _columns(x: Tensor, weight: Tensor, stride: Any, padding: Any, y: Tensor) -> Any:
    kernel = prod(weight.shape[2:])
    if kernel == 1 and all(step == 1 for step in stride) and not any(padding):
        return 0
    return x.shape[0] * x.shape[1] * kernel * prod(y.shape[2:]) * _FLOAT


def _strided_point(x: Tensor, weight: Tensor, y: Tensor, stride: Any) -> Any:
    """Of a kernel of one point that steps over points: those that it meets, for each thread."""
    if prod(weight.shape[2:]) != 1 or all(step == 1 for step in stride):
        return 0
    return torch.get_num_threads() * prod(y.shape[2:]) * x.shape[1] * _FLOAT + _BIAS_ALIGNMENT


def _bytes(tensor: Tensor) -> Any:
    return tensor.numel() * tensor.element_size()


def _copied(tensor: Tensor) -> Any:
    return 0 if tensor.is_contiguous() else _bytes(tensor)
