"""Memory inside one convolution on the CPU, plain and transposed, forward and backward: see `formulas.ops.onednn`."""

from typing import Any

import torch
from torch import Tensor

from seqcost.formulas.ops.onednn import convolutions as onednn
from seqcost.formulas.ops.onednn.sizes import Operand


def forward_bytes(args: Any, kwargs: Any, y: Tensor) -> int:
    """Most bytes beside operands and result."""
    x, weight, bias, *steps, groups = args
    if _is_unknown(x, weight):
        return 0
    return onednn.forward_bytes(_call(x, weight, y, steps, groups, bias=bias is not None))


def backward_bytes(args: Any, kwargs: Any, out: Any) -> int:
    """Most bytes beside operands and results."""
    dy, x, weight, _, *steps, groups, _ = args
    if _is_unknown(x, weight):
        return 0
    dx, dw, db = (0 if result is None else result.numel() * result.element_size() for result in out)
    return onednn.backward_bytes(_call(x, weight, dy, steps, groups, bias=bool(db)), (dx, dw, db))


def _call(x: Tensor, weight: Tensor, y: Tensor, steps: list[Any], groups: int, *, bias: bool) -> onednn.Call:
    stride, padding, dilation, transposed, output_padding = (_each(step, x.dim() - 2) for step in steps)
    return onednn.Call(
        _operand(x), _operand(weight), _operand(y), stride, padding, dilation, output_padding, groups,
        torch.get_num_threads(), bias, transposed,
    )  # fmt: skip


def _operand(tensor: Tensor) -> Operand:
    return Operand(tuple(tensor.shape), tensor.stride(), tensor.element_size())


def _each(step: Any, dims: int) -> Any:
    """A step of every dimension, where one number stands for all."""
    if not isinstance(step, list | tuple):
        return step
    return tuple(step) * dims if len(step) == 1 else tuple(step)


def _is_unknown(x: Tensor, weight: Tensor) -> bool:
    """Another type, or a size that is a symbol (such a run leaves bytes out), or no numbers at all."""
    some = all(isinstance(n, int) and n > 0 for n in (*x.shape, *weight.shape))
    return not some or x.dtype not in (torch.float32, torch.float64)
