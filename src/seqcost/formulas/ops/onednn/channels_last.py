"""Memory inside one plain convolution whose operands have channels last, as an image has after `permute(0, 3, 1, 2)`.

oneDNN then reads and makes them as they are, and copies the weights alone: first to channels last, then into blocks; a
gradient of weights goes the same way back.

Copies are exact, and scratchpads of gradients of weights and where steps are undone. Else a scratchpad is taken at its
least (the addresses of products) and channels are filled up to 32: of 1,480 calls of random sizes, forward and
backward, 97 differ from the profiler. Transposed convolutions are not covered.

Sources (PyTorch 2.13): aten/src/ATen/native/mkldnn/Conv.cpp `mkldnn_conv_use_channels_last`; oneDNN v3.12
src/cpu/x64/jit_brgemm_conv_utils.cpp and jit_brgemm_conv_bwd.cpp; else as `primitives`.
"""

from math import prod

from seqcost.formulas.ops.onednn.primitives import (
    by_channel,
    is_product,
    makes_weights_by_channel,
    makes_weights_in_blocks,
    undone,
    weight_column_threads,
)
from seqcost.formulas.ops.onednn.sizes import FLOAT, LANES, PAGE, Convolution, Operand, booked, up_to
from seqcost.formulas.ops.onednn.strided import scratchpad_bytes
from seqcost.formulas.ops.onednn.sums import blocks_summed, depthwise_summed, points_summed

_FILLED = 32
_ADDRESSES = 4120  # bytes of the addresses of products, for each thread


def has_channels_last(x: Operand, weight: Operand) -> bool:
    """Whether PyTorch has oneDNN work with channels last."""
    return x.itemsize == FLOAT and (x.looks_channels_last or weight.looks_channels_last)


def columns_copied(operands: tuple[Operand, ...], weight: Operand) -> int:
    """Bytes of copies where oneDNN is not asked: a volume's operands become contiguous, an image's weights do not."""
    if weight.dims == 4:
        return sum(_to_last(operand) for operand in (*operands, weight))
    return sum(t.num_bytes for t in (*operands, weight) if not t.is_contiguous)


def forward_last(c: Convolution, x: Operand, weight: Operand) -> int:
    """Most bytes beside operands and result."""
    held = _to_last(x) + _to_last(weight)
    if c.groups > 1 and (c.is_depthwise or c.group_inputs <= LANES):
        return held + _grouped(c)
    filled = up_to(c.group_outputs, _block(c.group_outputs)) * c.groups
    return held + filled * c.group_inputs * prod(c.kernel) * FLOAT + _scratchpad(c)


def backward_last(c: Convolution, operands: tuple[Operand, ...], made: tuple[int, int, int]) -> int:
    """Most bytes beside operands and results, which are `made` bytes of the gradients of input, weights and bias."""
    held = sum(_to_last(operand) for operand in operands)
    dx_bytes, dw_bytes, db_bytes = made
    moments = [0]
    if dx_bytes:
        moments.append(_input_gradient(c) - dw_bytes - db_bytes)
    if dw_bytes:
        blocked, scratchpad = _weight_gradient(c, bias=bool(db_bytes))
        # the blocks, a contiguous copy of them, and what is left of that with channels last
        moments += [blocked + scratchpad - dw_bytes, blocked + db_bytes + dw_bytes]
    return held + max(moments)


def _input_gradient(c: Convolution) -> int:
    if not c.is_depthwise and (blocks := undone(c, LANES)):
        filled = up_to(c.group_inputs, blocks.channels) * c.groups
        return filled * c.group_outputs * prod(c.kernel) * FLOAT + scratchpad_bytes(c, blocks)
    if any(d > 1 and step > 1 for d, step in zip(c.dilation, c.stride, strict=True)):
        columns = booked(c.group_inputs * prod(c.kernel) * prod(c.points_out) * FLOAT)
        summed = booked(c.group_inputs * prod(c.points_in) * FLOAT) if c.groups > 1 else 0
        return c.weight_bytes + columns + summed
    if c.is_depthwise and c.is_dense and len(c.kernel) == 2:
        return by_channel(c).weight
    if c.groups > 1 and (c.group_outputs <= LANES or not c.steps_by_one):
        return _blocks_of_groups(c, narrow=True)
    filled = up_to(c.group_inputs, _block(c.group_inputs)) * c.groups
    return filled * c.group_outputs * prod(c.kernel) * FLOAT + booked(_scratchpad(c))


def _weight_gradient(c: Convolution, *, bias: bool) -> tuple[int, int]:
    """Bytes of the gradient in blocks, and of the scratchpad."""
    if c.is_depthwise and makes_weights_by_channel(c):
        return by_channel(c).weight, depthwise_summed(c, bias=bias)
    odd = bias and c.group_outputs % LANES
    shift = booked(c.groups * up_to(c.group_outputs, LANES) * FLOAT) if odd else 0
    if is_product(c):
        summed, threads = points_summed(c, bias=bias)
        gathered = 0 if c.steps_by_one else booked(threads * prod(c.points_out) * c.inputs * FLOAT)
        return _blocks_of_groups(c), shift + summed + gathered
    if makes_weights_in_blocks(c):
        scratchpad = shift + blocks_summed(c, bias=bias, last=True)
        if c.groups == 1 and c.inputs < LANES:
            return c.inputs * up_to(c.outputs, LANES) * prod(c.kernel) * FLOAT, scratchpad
        return _blocks_of_groups(c), scratchpad
    columns = c.group_inputs * prod(c.kernel) * prod(c.points_out) * FLOAT
    gathered = c.group_inputs * prod(c.points_in) * FLOAT
    threads = weight_column_threads(c)
    sizes = columns * threads, gathered * threads, FLOAT * c.weight_bytes * threads
    return c.weight_bytes, sum(booked(size) for size in sizes)


def _grouped(c: Convolution) -> int:
    """Weights of groups: by channel, or in the blocks that groups allow."""
    return by_channel(c).weight if c.is_depthwise else _blocks_of_groups(c, narrow=True)


def _blocks_of_groups(c: Convolution, *, narrow: bool = False) -> int:
    lanes = LANES
    if narrow and c.groups > 1 and c.group_inputs < LANES and c.group_outputs < LANES:
        fitting = (n for n in (8, 4) if c.group_inputs % n == 0 == c.group_outputs % n)
        lanes = next(fitting, LANES)
    return c.groups * up_to(c.group_inputs, lanes) * up_to(c.group_outputs, lanes) * prod(c.kernel) * FLOAT


def _block(channels: int) -> int:
    return LANES if channels <= LANES else _FILLED


def _scratchpad(c: Convolution) -> int:
    return c.threads * _ADDRESSES + PAGE


def _to_last(operand: Operand) -> int:
    """A copy with channels last, where they are not."""
    return 0 if operand.has_channels_last else operand.num_bytes
