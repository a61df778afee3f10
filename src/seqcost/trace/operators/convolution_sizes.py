"""The sizes of a convolution, in the words of a plain one.

A transposed convolution is the gradient of a plain one with respect to its input: what it makes is that one's input,
and what it reads that one's result. A sequence is an image one point high, as it is to PyTorch (`view1d_as_2d`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

FLOAT = 4
_ALIGNMENT = 128  # of every array in a scratchpad of oneDNN
Sizes = tuple[int, ...]


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
        cls, x: Tensor, weight: Tensor, y: Tensor, steps: tuple[Any, Any, Any], *, transposed: bool, groups: int
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
            threads=torch.get_num_threads(),
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
