"""Which of oneDNN's convolutions runs on a CPU with AVX-512 in float32, the copies it wants, and its scratchpad.

oneDNN goes through a list and takes the first convolution that accepts the sizes. Most work on copies in blocks of 16
channels, where groups allow no more of 8 or 4; steps over points are undone with channels last; what nobody accepts is
spread out into columns and multiplied. A depthwise convolution has one kernel per channel of a block.

Followed: the conditions on groups, steps, gaps and padding that decide between them. Not followed: the blocks into
which columns of odd groups are cut in the forward pass.

Source (oneDNN v3.12, src/cpu): cpu_convolution_list.cpp; `init_conf` and `init_scratchpad` of
x64/jit_avx512_common_conv_kernel.cpp, x64/jit_avx512_common_1x1_conv_kernel.cpp, x64/jit_uni_1x1_conv_utils.hpp
(`rtus`), x64/jit_uni_dw_conv_kernel_utils.cpp, x64/jit_avx2_conv_kernel_f32.cpp and gemm_convolution_utils.cpp;
common/memory_tracking.hpp.
"""

from dataclasses import dataclass
from math import prod

from seqcost.formulas.ops.onednn.blocks import best_blocks
from seqcost.formulas.ops.onednn.estimate import Blocks
from seqcost.formulas.ops.onednn.sizes import FLOAT, LANES, Convolution, booked, up_to
from seqcost.formulas.ops.onednn.strided import scratchpad_bytes
from seqcost.formulas.ops.onednn.sums import blocks_summed, depthwise_summed, narrow_blocks_summed, points_summed

_HALF = 8
_MOST_UNROLLED = 28  # points along a line that are held in registers
_WIDEST = 14  # kernel of which the gradient of weights is unrolled
_NARROW = 3  # channels up to which the gradient of a first layer's weights reads its input as it is
_MOST_COLUMNS_BYTES = 1 << 30
_SMALL_PRODUCT = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Primitive:
    """Bytes of the copies that are read and made, 0 for what is read as it is, and of the scratchpad."""

    x: int = 0
    weight: int = 0
    y: int = 0
    scratchpad: int = 0
    copies: int = 1  # of the result, at the end, before it lies as PyTorch has it
    undoes_steps: bool = False


def forward(c: Convolution, *, bias: bool) -> Primitive:
    """What makes y of x."""
    if c.is_depthwise:
        if len(c.points_in) == 2:
            return by_channel(c, _padded_bias(c, LANES) if bias else 0)
        if c.is_dense:
            weight = up_to(c.outputs, LANES) * prod(c.kernel) * FLOAT
            return Primitive(x=c.input_bytes, weight=weight, y=c.output_bytes, copies=2)
    shift = _padded_bias(c, LANES) if bias and c.groups == 1 else 0
    if is_product(c):
        return _in_blocks(c, LANES, shift + _gathered(c, c.threads))
    lanes = _lanes(c)
    if lanes and _overlaps(c) and _padding_fits(c):
        # A first layer has fewer channels than a vector has numbers, and is read as it is.
        return _in_blocks(c, lanes, shift, first=c.groups == 1 and c.inputs < LANES)
    return Primitive(scratchpad=booked(_column_threads(c) * _columns(c)))


def input_gradient(c: Convolution, *, transposed: bool = False) -> Primitive:
    """What makes the gradient of x of that of y, or as a transposed convolution x of y."""
    if blocks := undone(c, LANES):
        return _channels_last(c, blocks)
    if transposed and makes_whole_steps(c) and (blocks := undone(c, _HALF)):
        return _channels_last(c, blocks)
    if c.is_depthwise and len(c.points_in) == 2 and c.is_dense:
        return by_channel(c, 0)
    if is_product(c):
        return _in_blocks(c, LANES, _gathered(c, c.threads))
    lanes = _lanes(c)
    gaps = any(d > 1 and step > 1 for d, step in zip(c.dilation, c.stride, strict=True))
    if lanes and not gaps and _overlaps(c) and _steps_fit(c):
        return _in_blocks(c, lanes, 0)
    if blocks := undone(c, _HALF):
        return _channels_last(c, blocks)
    return Primitive(scratchpad=booked(_column_threads_back(c) * _columns(c)))


def weight_gradient(c: Convolution, *, bias: bool) -> Primitive:
    """What makes the gradient of the weights of x and the gradient of y."""
    if c.is_depthwise and makes_weights_by_channel(c):
        return by_channel(c, depthwise_summed(c, bias=bias))
    shift = _padded_bias(c, LANES) if bias and c.groups == 1 else 0
    if is_product(c):
        summed, threads = points_summed(c, bias=bias)
        return _in_blocks(c, LANES, shift + summed + _gathered(c, threads))
    few = c.groups == 1 and _NARROW < c.inputs < LANES
    whole = c.groups == 1 or (c.group_inputs % LANES == 0 and c.group_outputs % LANES == 0)
    if whole and not few and makes_weights_in_blocks(c):
        first = c.groups == 1 and c.inputs <= _NARROW
        return _in_blocks(c, LANES, shift + blocks_summed(c, bias=bias), first=first)
    whole = c.groups == 1 or (c.group_inputs % _HALF == 0 and c.group_outputs % _HALF == 0)
    if whole and c.group_inputs != _NARROW and _half_accepts(c):
        shift = _padded_bias(c, _HALF) if bias and c.groups == 1 else 0
        return _in_blocks(c, _HALF, shift + narrow_blocks_summed(c, bias=bias))
    threads = weight_column_threads(c)
    return Primitive(scratchpad=booked(threads * _columns(c)) + booked(FLOAT * threads * c.weight_bytes))


def _in_blocks(c: Convolution, lanes: int, scratchpad: int, *, first: bool = False) -> Primitive:
    fill = lanes if c.groups == 1 else 1
    inputs, outputs = up_to(c.inputs, fill), up_to(c.outputs, fill)
    weight = (c.inputs if first else inputs // c.groups) * outputs * prod(c.kernel) * FLOAT
    return Primitive(
        x=0 if first else c.batch * inputs * prod(c.points_in) * FLOAT,
        weight=weight,
        y=c.batch * outputs * prod(c.points_out) * FLOAT,
        scratchpad=scratchpad,
    )


def by_channel(c: Convolution, scratchpad: int = 0) -> Primitive:
    """Kernels a channel, in blocks of channels."""
    channels = up_to(c.inputs, LANES) * FLOAT
    return Primitive(
        x=c.batch * channels * prod(c.points_in),
        weight=channels * prod(c.kernel),
        y=c.batch * channels * prod(c.points_out),
        scratchpad=scratchpad,
    )


def _channels_last(c: Convolution, blocks: Blocks) -> Primitive:
    filled = up_to(c.group_inputs, blocks.channels) * c.groups
    as_it_is = c.outputs == 1 or prod(c.points_out) == 1
    return Primitive(
        x=c.input_bytes,
        weight=filled * c.group_outputs * prod(c.kernel) * FLOAT,
        y=0 if as_it_is else c.output_bytes,
        scratchpad=scratchpad_bytes(c, blocks),
        copies=1 if c.inputs == 1 else 2,
        undoes_steps=True,
    )


def _padded_bias(c: Convolution, lanes: int) -> int:
    return booked(up_to(c.outputs, lanes) * FLOAT) if c.outputs % lanes else 0


def _lanes(c: Convolution) -> int:
    """Channels of a block; 0 where groups leave none."""
    if c.groups == 1:
        return LANES
    fitting = (lanes for lanes in (16, 8, 4) if c.group_inputs % lanes == 0 == c.group_outputs % lanes)
    return next(fitting, 0)


def is_product(c: Convolution) -> bool:
    """Whether it is one product: kernels of one point, at every point or at those that steps meet exactly."""
    if c.groups > 1 or not c.is_one_point or any(c.padding):
        return False
    met = all(made * step == read for made, step, read in zip(c.points_out, c.stride, c.points_in, strict=True))
    return met and (c.steps_by_one or len(c.points_in) == 2)


def _gathered(c: Convolution, threads: int) -> int:
    """The points that steps meet, for each thread."""
    if c.steps_by_one:
        return 0
    return booked(threads * prod(c.points_out) * up_to(c.inputs, LANES) * FLOAT)


def _overlaps(c: Convolution) -> bool:
    """Whether no kernel stands in the padding alone."""
    sizes = zip(c.span, c.padding, c.padding_after, strict=True)
    return all(span > before and span > after for span, before, after in sizes)


def _padding_fits(c: Convolution) -> bool:
    """Whether the padding of a line is within the points that are made at once."""
    made = c.points_out[-1]
    at_once = min(made, _MOST_UNROLLED)
    last = made - made % at_once
    after = (last - 1) * c.stride[-1] + c.span[-1] - c.points_in[-1] - c.padding[-1]
    return c.padding[-1] <= at_once and after <= at_once


def _steps_fit(c: Convolution) -> bool:
    """The same of a gradient, whose points made at once are whole steps too."""
    read, step, reach, after = c.points_in[-1], c.stride[-1], c.span[-1] - 1, c.padding_after[-1]
    at_once = min(read, _MOST_UNROLLED)
    rest = after + read % at_once
    overflow = max(0, reach - c.padding[-1]), max(0, reach - max(0, rest))
    tail = read <= at_once or (at_once % step == 0 and rest >= 0)
    return tail and all(beyond // step * step <= at_once for beyond in overflow)


def makes_whole_steps(c: Convolution) -> bool:
    """Whether every line that a transposed convolution makes is a number of steps."""
    return all(points % step == 0 for points, step in zip(c.points_in, c.stride, strict=True))


def undone(c: Convolution, lanes: int) -> Blocks | None:
    """The blocks in which steps are undone with channels last; None where they are not."""
    if c.steps_by_one or not c.is_dense or (c.groups > 1 and c.group_outputs <= lanes):
        return None
    return best_blocks(c, lanes)


def makes_weights_in_blocks(c: Convolution) -> bool:
    """Whether the gradient of weights is made in blocks of 16."""
    after, span = tuple(max(0, points) for points in c.padding_after), c.span
    outer = list(zip(c.dilation, c.stride, strict=True))[:-1]
    if any(d > 1 and step > 1 for d, step in outer) or c.kernel[-1] > _WIDEST:
        return False
    if c.dilation[-2] > 1 and span[-2] > c.points_in[-2]:
        return False
    if max(c.padding[-2], after[-2]) > span[-2] // 2:
        return False
    if max(c.padding[-1], after[-1]) >= min(span[-1], _MOST_UNROLLED + 1):
        return False
    if len(c.kernel) == 2:
        return True
    deep = c.padding[0] == 0 or c.kernel[0] < c.points_in[0] + c.padding[0]
    return deep and c.dilation[0] == 1 and max(c.padding[0], after[0]) < span[0]


def _half_accepts(c: Convolution) -> bool:
    """Whether it is made in blocks of 8."""
    after, span = tuple(max(0, points) for points in c.padding_after), c.span
    plane = all(max(c.padding[d], after[d]) < span[d] for d in (-2, -1))
    if len(c.kernel) == 3 and (c.padding[0] or after[0] or c.kernel[0] > c.points_in[0]):
        return False
    return c.is_dense and plane and c.kernel[-1] < _WIDEST and c.kernel[-2] <= c.points_in[-2]


def makes_weights_by_channel(c: Convolution) -> bool:
    """Whether the gradient of weights of kernels of one channel each is made by channel."""
    if len(c.kernel) > 2 or not c.is_dense or c.kernel[1] > 3 or c.stride[1] > c.kernel[1]:
        return False
    after = tuple(max(0, points) for points in c.padding_after)
    if any(max(before, behind) > k // 2 for before, behind, k in zip(c.padding, after, c.kernel, strict=True)):
        return False
    whole = all(points <= 1 or points % c.stride[0] == 0 for points in (c.padding[0], after[0]))
    return whole and c.points_in[0] >= c.kernel[0] + -c.padding[0] % c.stride[0]


def _columns(c: Convolution) -> int:
    """Bytes of one group's input, spread out for the points of one plane that are made."""
    if c.is_one_point and c.steps_by_one and c.points_in == c.points_out:
        return 0
    return c.group_inputs * prod(c.kernel) * prod(c.points_out[-2:]) * FLOAT


def _column_threads(c: Convolution) -> int:
    """Threads that multiply columns on their own, forward."""
    n, plane = c.threads, prod(c.points_out[-2:])
    depth = c.points_out[0] if len(c.points_out) == 3 else 1
    images = c.batch * c.groups * depth
    row = c.group_inputs * prod(c.kernel)
    in_blocks = images * plane >= n * LANES or plane < images or (c.stride[-1] == 1 and 20 * row <= c.group_outputs)
    if len(c.points_out) == 2 and in_blocks:
        return n
    if plane // n >= 512 or (depth == 1 and c.batch == 1 and c.groups <= 2):
        return 1
    return n if _is_even(c, images, plane, c.group_outputs) else 1


def _is_even(c: Convolution, outer: int, plane: int, channels: int) -> bool:
    """Whether threads share images more evenly than the numbers of one product, or that is small."""
    n = c.threads
    inner = -(-plane // LANES) * -(-channels // LANES)
    even = outer / up_to(outer, n) >= inner / up_to(inner, n)
    return even or plane * c.group_inputs * c.group_outputs // n < _SMALL_PRODUCT


def _column_threads_back(c: Convolution) -> int:
    """Threads that multiply columns on their own, where an input's gradient is made."""
    n = c.threads
    if not ((prod(c.points_out[-2:]) // n < 512 or prod(c.kernel) < 64) and (c.batch > 1 or c.groups > 2)):
        return 1
    return n if _is_even(c, c.groups * c.batch, prod(c.points_in[-2:]), c.group_inputs) else 1


def weight_column_threads(c: Convolution) -> int:
    """Threads that multiply columns on their own, where a gradient of weights is made."""
    n = c.threads
    needed = n * FLOAT * (c.weight_bytes + c.group_inputs * prod(c.kernel) * LANES)
    allowed = min(_MOST_COLUMNS_BYTES, 15 * n * (c.input_bytes + c.weight_bytes + c.output_bytes))
    apart = needed < allowed and prod(c.points_out[-2:]) // n < 256 and (c.batch > 1 or c.groups > 2)
    return n if apart else 1
