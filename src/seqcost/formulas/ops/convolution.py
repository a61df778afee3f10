"""Convolutions on a tape: over a sequence, and over an image."""

from collections.abc import Callable, Sequence
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.expr import is_array, is_symbolic
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.comparing import equal
from seqcost.formulas.core.layout import strides_of, tidied
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value, contiguous_strides, product
from seqcost.formulas.ops.onednn.convolutions import Call, backward_bytes, forward_bytes
from seqcost.formulas.ops.onednn.sizes import Operand


def convolution(
    t: Tape,
    name: str,
    x: Value,
    weight: Value,
    *shape: Size,
    bias: bool = True,
    dilation: Size = 1,
    groups: Size = 1,
    note: str = "",
) -> Value:
    """x [B,D,*] → [B,N,*] = `shape`: torch.nn.functional.conv1d, conv2d, of steps of 1 and without padding.

    Every one of the result's elements is a sum over the products of a row of the weight [N, D/groups, *]. The border
    that pads x is multiplied like the rest; what lies beyond the last result is not read. An image whose channels are
    innermost gives such a result.
    """
    n = product(shape)
    flops = 2 * n * product(weight.shape[1:])
    sizes = (*shape, *weight.shape[1:])
    inputs = [x, weight, t.weight(shape[1])] if bias else [x, weight]
    itemsize = x.storage.itemsize

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        found: list[Any] = [t.new(f"{name}_d{of}", value.shape, itemsize) for of, value in zip("xw", kept, strict=True)]
        for one, value in zip(found, kept, strict=True):
            one.strides = _layout(value.shape, kept)
        if bias:
            found.append(t.new(f"{name}_db", (shape[1],), itemsize))
        if not wanted[0]:
            found[0] = None
        made = [value for value in found if value is not None]
        t.launch(
            f"{name}_backward", Kernel.CONVOLUTION, [g, *kept], made, sizes=sizes,
            contraction=flops * (1 + wanted[0]), pointwise=n if bias else 0, note="g ∗ Wᵀ, gᵀ ∗ x, Σ g",
            buffer=_bytes(t, _backward, (*kept, g), dilation, groups, wanted[0], bias),
        )  # fmt: skip
        return found

    y = t.new(name, shape, itemsize)
    y.strides = _layout(shape, (x, weight))
    t.launch(
        name, Kernel.CONVOLUTION, inputs, [y], sizes=sizes, contraction=flops, pointwise=n if bias else 0,
        buffer=_bytes(t, _forward, (x, weight, y), dilation, groups, bias), note=note or "x ∗ W",
    )  # fmt: skip
    t.follow(name, inputs, [y], backward, [(x, None), (weight, None)])
    return y


def _layout(shape: Sequence[Size], operands: Sequence[Value]) -> tuple[Size, ...] | None:
    """Strides of a result: channels innermost where an image's or its weight's are (ConvUtils.h)."""
    if len(shape) != 4 or not any(_channels_last(value) for value in operands):
        return None
    by_point = contiguous_strides([shape[axis] for axis in (0, 2, 3, 1)])
    return tidied(shape, [by_point[axis] for axis in (0, 3, 1, 2)])


def _channels_last(value: Value) -> bool:
    """As PyTorch asks for it, of sizes that may be symbols: whether the channels are one apart and are several."""
    return value.strides is not None and equal(value.strides[1], 1)


def _bytes(t: Tape, taken: Callable[..., int], operands: Sequence[Value], *more: Size) -> Size:
    """What oneDNN takes besides: for each point of a sweep; nothing is known of symbols, nor of half precision."""
    if not t.remembering or t.narrow:
        return 0
    numbers = [n for v in operands for n in (*v.shape, *strides_of(v))]
    given = [*numbers, t.bytes_of(operands[0].storage.itemsize), t.run.threads, *more]
    if any(is_symbolic(size) for size in given):
        return 0
    dims = len(operands[0].shape)
    if any(is_array(size) for size in given):
        import numpy as np

        return np.frompyfunc(lambda *at: taken(dims, *(int(size) for size in at)), len(given), 1)(*given)
    return taken(dims, *given)


def _forward(dims: int, *given: int) -> int:
    *numbers, itemsize, threads, dilation, groups, bias = given
    return forward_bytes(_call(dims, numbers, itemsize, threads, dilation, groups, bias))


def _backward(dims: int, *given: int) -> int:
    *numbers, itemsize, threads, dilation, groups, wanted, bias = given
    call = _call(dims, numbers, itemsize, threads, dilation, groups, bias)
    dx = call.x.num_bytes if wanted else 0
    return backward_bytes(call, (dx, call.weight.num_bytes, call.y.shape[1] * itemsize if bias else 0))


def _call(
    dims: int, numbers: Sequence[int], itemsize: int, threads: int, dilation: int, groups: int, bias: int
) -> Call:
    axes = [tuple(numbers[i : i + dims]) for i in range(0, 6 * dims, dims)]
    x, weight, y = (Operand(axes[i], axes[i + 1], itemsize) for i in (0, 2, 4))
    none, one = (0,) * (dims - 2), (1,) * (dims - 2)
    gaps = (*one[1:], dilation)
    return Call(x, weight, y, one, none, gaps, none, groups, threads, bool(bias))
