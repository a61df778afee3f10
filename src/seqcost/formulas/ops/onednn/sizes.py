"""The sizes of a convolution, in the words of a plain one.

A transposed convolution is the gradient of a plain one with respect to its input: what it makes is that one's input,
and what it reads that one's result. A sequence is an image one point high, as it is to PyTorch (`view1d_as_2d`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

FLOAT = 4  # bytes of a float32
LANES = 16  # of them in a vector
PAGE = 4096  # bytes; what threads share is whole pages, aligned to one
_ALIGNMENT = 128  # of every array in a scratchpad of oneDNN
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Operand:
    """A tensor of a convolution: its shape, where its numbers lie, and how many bytes each has."""

    shape: Sizes
    strides: Sizes
    itemsize: int

    @property
    def dims(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def num_bytes(self) -> int:
        """Bytes of all its numbers."""
        return prod(self.shape) * self.itemsize

    @property
    def is_contiguous(self) -> bool:
        """Whether they lie in one piece, the last axis innermost."""
        return self._lies(range(self.dims))

    @property
    def has_channels_last(self) -> bool:
        """Whether they lie in one piece, the channels innermost."""
        return self._lies((0, *range(2, self.dims), 1))

    def _lies(self, order: Iterable[int]) -> bool:
        step = 1
        for axis in reversed(tuple(order)):
            if self.shape[axis] != 1:
                if self.strides[axis] != step:
                    return False
                step *= self.shape[axis]
        return True

    @property
    def looks_channels_last(self) -> bool:
        """What PyTorch takes for channels last, gaps or not: `is_channels_last_strides_2d_s4` of MemoryFormat.h."""
        if self.dims not in (4, 5) or self.strides[1] == 0:
            return False
        least = 0
        for axis in (1, *reversed(range(2, self.dims)), 0):
            size, stride = self.shape[axis], self.strides[axis]
            if size == 0 or stride < least or (axis == 0 and least == self.strides[1]):
                return False
            least = stride * size if stride > 1 else stride
        return True


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """Channels, and points along each dimension."""

    batch: int
    inputs: int
    outputs: int
    groups: int
    points_in: Sizes
    points_out: Sizes
    kernel: Sizes
    stride: Sizes
    dilation: Sizes
    padding: Sizes
    threads: int

    @classmethod
    def of(
        cls,
        x: Operand,
        weight: Operand,
        y: Operand,
        steps: tuple[Any, Any, Any],
        *,
        transposed: bool,
        groups: int,
        threads: int,
    ) -> "Convolution":
        """Of `aten::convolution` with (stride, padding, dilation); y is its result or the gradient of it."""
        stride, padding, dilation = steps
        read, made = (y, x) if transposed else (x, y)
        return cls(
            batch=x.shape[0],
            inputs=read.shape[1],
            outputs=made.shape[1],
            groups=groups,
            points_in=_plane(read.shape[2:], 1),
            points_out=_plane(made.shape[2:], 1),
            kernel=_plane(weight.shape[2:], 1),
            stride=_plane(stride, 1),
            dilation=_plane(dilation, 1),
            padding=_plane(padding, 0),
            threads=threads,
        )

    @property
    def group_inputs(self) -> int:
        """Channels that one group reads."""
        return self.inputs // self.groups

    @property
    def group_outputs(self) -> int:
        """Channels that one group makes."""
        return self.outputs // self.groups

    @property
    def span(self) -> Sizes:
        """Points from the first to the last that a kernel reads."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))

    @property
    def padding_after(self) -> Sizes:
        """Points beyond the end that are read; negative where the last points are not."""
        sizes = zip(self.points_out, self.stride, self.span, self.points_in, self.padding, strict=True)
        return tuple((made - 1) * step + span - read - before for made, step, span, read, before in sizes)

    @property
    def is_dense(self) -> bool:
        """Whether the kernel has no gaps."""
        return all(d == 1 for d in self.dilation)

    @property
    def steps_by_one(self) -> bool:
        """Whether the kernel stands at every point."""
        return all(step == 1 for step in self.stride)

    @property
    def is_depthwise(self) -> bool:
        """Whether each channel has a kernel of its own."""
        return self.groups > 1 and self.inputs == self.outputs == self.groups

    @property
    def is_one_point(self) -> bool:
        """Whether the kernel reads one point."""
        return prod(self.kernel) == 1

    @property
    def input_bytes(self) -> int:
        """Of what is read."""
        return self.batch * self.inputs * prod(self.points_in) * FLOAT

    @property
    def output_bytes(self) -> int:
        """Of what is made."""
        return self.batch * self.outputs * prod(self.points_out) * FLOAT

    @property
    def weight_bytes(self) -> int:
        """Of all kernels."""
        return self.group_inputs * self.outputs * prod(self.kernel) * FLOAT


def booked(size: int) -> int:
    """What an array takes in a scratchpad of oneDNN."""
    return size + _ALIGNMENT if size else 0


def up_to(number: int, block: int) -> int:
    """A number filled up to whole blocks."""
    return -(-number // block) * block


def _plane(sizes: Sequence[int], one: int) -> Sizes:
    return (one, *sizes) if len(sizes) == 1 else tuple(sizes)
