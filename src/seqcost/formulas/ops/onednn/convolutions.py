"""Memory inside one convolution on the CPU, plain and transposed, forward and backward.

oneDNN works on copies in layouts of its own (`primitives`). What it is not asked for (a single small sequence
or image, and float64) is spread out into columns and multiplied. A result is made in oneDNN's layout first, and given
to PyTorch as a contiguous copy.

Exact in float32 with AVX-512 for contiguous operands; of others `channels_last` tells. Not covered: bfloat16, some
groups of channels that are no whole blocks of 16 (6 of 17,160 calls of random sizes), and that the result of a
transposed convolution of one small volume keeps memory of its input's size, where that is the larger one.

Sources (PyTorch 2.13, aten/src/ATen/native): Convolution.cpp `use_mkldnn`, mkldnn/Conv.cpp, ConvolutionMM2d.cpp,
ConvolutionMM3d.cpp, NaiveDilatedConvolution.cpp, NaiveConvolutionTranspose2d.cpp, NaiveConvolutionTranspose3d.cpp;
oneDNN v3.12 src/cpu/ref_deconvolution.hpp.
"""

from dataclasses import dataclass
from math import prod

from seqcost.formulas.ops.onednn.channels_last import backward_last, columns_copied, forward_last, has_channels_last
from seqcost.formulas.ops.onednn.primitives import (
    Primitive,
    forward,
    input_gradient,
    makes_whole_steps,
    weight_gradient,
)
from seqcost.formulas.ops.onednn.sizes import FLOAT, Convolution, Operand, Sizes, booked

_ALIGNMENT = 128  # of a scratchpad within one
_FEW_NUMBERS, _FEW_ROWS = 20480, 16  # up to which one sequence, or a product of single points, is not oneDNN's


@dataclass(frozen=True)
class Call:
    """What a convolution is asked: operands x and weight, what it makes (or the gradient of that), and its steps."""

    x: Operand
    weight: Operand
    y: Operand
    stride: Sizes
    padding: Sizes
    dilation: Sizes
    output_padding: Sizes
    groups: int
    threads: int
    bias: bool
    transposed: bool = False

    @property
    def sizes(self) -> Convolution:
        """In the words of a plain one."""
        steps = self.stride, self.padding, self.dilation
        return Convolution.of(
            self.x, self.weight, self.y, steps, transposed=self.transposed, groups=self.groups, threads=self.threads
        )

    @property
    def is_onednn(self) -> bool:
        """Whether PyTorch asks oneDNN."""
        x, weight, stride = self.x, self.weight, self.stride
        if x.itemsize != FLOAT or any(more >= step for more, step in zip(self.output_padding, stride, strict=True)):
            return False
        height, width = (1, *weight.shape[2:])[-2:]
        busy = any(n != 1 for n in (*stride, *self.dilation)) or x.shape[0] >= _FEW_ROWS or (height, width) != (1, 1)
        plane = x.shape if x.dims > 3 else (*x.shape[:2], 1, x.shape[2])
        large = self.groups > 1 or (height > 3 and width > 3) or x.shape[0] > 1 or prod(plane[:4]) > _FEW_NUMBERS
        return bool((busy or self.threads > 1) and large)


def forward_bytes(call: Call) -> int:
    """Most bytes beside operands and result."""
    x, weight = call.x, call.weight
    last = has_channels_last(x, weight)
    held = columns_copied((x,), weight) if last else _copied(x) + _copied(weight)
    if not call.is_onednn:
        return held + _Columns(call).forward(bias=call.bias)
    c = call.sizes
    if last and not call.transposed:
        return forward_last(c, x, weight)
    if not call.transposed:
        p = forward(c, bias=call.bias)
        made = p.y or c.output_bytes
        return held + max(p.x + p.weight + made + p.scratchpad - call.y.num_bytes, p.copies * made)
    p = input_gradient(c, transposed=True)
    made = p.x or c.input_bytes
    scratchpad = _nested(p)
    if call.bias and not (p.undoes_steps and makes_whole_steps(c)):
        scratchpad += booked(made)
    return held + max(made + p.weight + p.y + scratchpad - call.y.num_bytes, p.copies * made)


def backward_bytes(call: Call, made: tuple[int, int, int]) -> int:
    """Most bytes beside operands and results: first the input's gradient is made, then the weight's.

    `made` are the bytes of the gradients of input, weight and bias, 0 for what is not asked for; y is the gradient.
    """
    x, weight, dy = call.x, call.weight, call.y
    last = has_channels_last(x, weight)
    held = columns_copied((dy, x), weight) if last else _copied(dy) + _copied(x) + _copied(weight)
    dx_bytes, dw_bytes, db_bytes = made
    if not call.is_onednn:
        return held + _Columns(call).backward(dx_bytes, dw_bytes, db_bytes)
    c = call.sizes
    if last and not call.transposed:
        return backward_last(c, (dy, x, weight), made)
    moments = [0]
    results = dx_bytes + dw_bytes + db_bytes
    if dx_bytes:
        p = forward(c, bias=False) if call.transposed else input_gradient(c)
        result = (p.y or c.output_bytes) if call.transposed else (p.x or c.input_bytes)
        scratchpad = _nested(p) if call.transposed else p.scratchpad
        read = p.x if call.transposed else p.y
        moments += [result + p.weight + read + scratchpad - results, dx_bytes + p.copies * result - results]
    if dw_bytes:
        p = weight_gradient(c, bias=bool(db_bytes) and not call.transposed)
        result = p.weight or c.weight_bytes
        scratchpad = _nested(p) if call.transposed else p.scratchpad
        moments += [p.y + p.x + result + scratchpad - dw_bytes, result + db_bytes]
    return held + max(moments)


def _nested(p: Primitive) -> int:
    """Bytes of the scratchpad of what runs within a transposed convolution."""
    return p.scratchpad + _ALIGNMENT if p.scratchpad else 0


class _Columns:
    """What is spread out where oneDNN is not asked, group by group: columns of all sequences, or of one at a time.

    The parts that groups make are kept until they become one; of several sequences a group's operands are copied out.
    """

    def __init__(self, call: Call) -> None:
        x, weight, y, groups = call.x, call.weight, call.y, call.groups
        stride, padding, transposed = call.stride, call.padding, call.transposed
        self._is_volume, self._is_dense = x.dims == 5, all(d == 1 for d in call.dilation)
        kernel = prod(weight.shape[2:])
        self._is_point = kernel == 1 and all(step == 1 for step in stride) and not any(padding) and self._is_dense
        if self._is_volume and self._is_dense and not transposed and groups > 1:
            groups, self._is_point = 1, False  # its columns are those of all groups
        self._x, self._y, self._transposed, self._groups = x, y, transposed, groups
        read, made = (y, x) if transposed else (x, y)
        self._column = read.shape[1] // groups * kernel * prod(made.shape[2:]) * x.itemsize

    def forward(self, *, bias: bool) -> int:
        """Beside the result."""
        if self._groups == 1:
            return self._forward(bias=bias)
        return max(self._y.num_bytes, self._taken_out(self._x) + self._forward(bias=bias))

    def backward(self, dx_bytes: int, dw_bytes: int, db_bytes: int) -> int:
        """Beside the gradients."""
        inside = self._input_gradient() - (dw_bytes + db_bytes) // self._groups if dx_bytes else 0
        if dw_bytes:
            inside = max(inside, self._weight_gradient(db_bytes // self._groups))
        if self._groups == 1:
            return max(0, inside)
        return max(dx_bytes + dw_bytes + db_bytes, self._taken_out(self._x, self._y) + max(0, inside))

    def _forward(self, *, bias: bool) -> int:
        y_bytes = self._y.num_bytes // self._groups
        if not self._transposed:
            return 0 if self._is_point else self._columns()
        if not self._is_volume:
            return y_bytes if self._is_point else self._column * self._x.shape[0]
        ones = prod(self._y.shape[2:]) * self._x.itemsize if bias else 0
        x_bytes = self._x.num_bytes // self._groups
        if x_bytes >= y_bytes:  # the result is made in memory of the input's size
            return x_bytes - y_bytes + self._column + ones
        return max(x_bytes, self._column + ones)

    def _input_gradient(self) -> int:
        if self._is_point:
            return self._columns() if self._is_volume and not self._transposed else 0
        return self._columns() if self._transposed or self._is_volume or not self._is_dense else 0

    def _weight_gradient(self, bias_bytes: int) -> int:
        if self._is_point:
            return 0
        return self._columns() + (0 if self._transposed or self._is_dense else bias_bytes)

    def _columns(self) -> int:
        return self._column * (self._x.shape[0] if self._is_dense and not self._transposed else 1)

    def _taken_out(self, *operands: Operand) -> int:
        """A group's part of operands of several sequences."""
        return sum(operand.num_bytes // self._groups for operand in operands) if self._x.shape[0] > 1 else 0


def _copied(operand: Operand) -> int:
    return 0 if operand.is_contiguous else operand.num_bytes
