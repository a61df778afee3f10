"""Where the elements of a tensor lie: views of strided memory, and the layout that a result takes from its operands."""

from collections.abc import Sequence

from seqcost.algebra import Size
from seqcost.formulas.core.comparing import equal, is_longer
from seqcost.formulas.core.values import ONE, Value, contiguous_strides, same

Strides = tuple[Size, ...]


def strides_of(value: Value) -> Strides:
    """Elements from one index to the next, axis by axis."""
    return contiguous_strides(value.shape) if value.strides is None else value.strides


def tidied(shape: Sequence[Size], strides: Sequence[Size]) -> Strides | None:
    """None for the strides of a shape that lies in one piece, those of its axes of one element included."""
    return None if same(strides, contiguous_strides(shape)) else tuple(strides)


def viewed(shape: Sequence[Size], strides: Sequence[Size], wanted: Sequence[Size]) -> Strides | None:
    """Strides of the same memory in another shape; None where that needs a copy (TensorUtils.cpp `computeStride`).

    Axes that follow each other in memory are taken together, and cut again as it is wanted.
    """
    out: list[Size] = []
    rest = list(wanted)
    length: Size = 1  # of the axes that are taken together, of which the innermost has this stride
    stride = strides[-1] if strides else 1
    for axis in reversed(range(len(shape))):
        length = length * shape[axis]
        if axis and (is_one(shape[axis - 1]) or equal(strides[axis - 1], length * stride)):
            continue
        taken: Size = 1
        while rest and (is_one(rest[-1]) or not equal(taken, length)):
            out.append(taken * stride)
            taken = taken * rest.pop()
            if isinstance(taken, int) and isinstance(length, int) and taken > length:
                return None
        if not equal(taken, length):
            return None
        if axis:
            length, stride = 1, strides[axis - 1]
    return tuple(reversed(out))


def like(shape: Sequence[Size], operands: Sequence[Value], *, number: bool = False) -> Strides | None:
    """The layout of an element-wise result: without gaps, its axes in the order that the operands have them in.

    The first operand decides that tells two axes apart, as in PyTorch (TensorIterator.cpp `reorder_dimensions`). It
    does not come to that where all operands have one shape and lie alike, unless one is a plain `number`
    (`fast_set_up`).
    """
    if all(value.strides is None for value in operands):
        return None
    if not number and all(same(value.shape, shape) for value in operands):
        if all(value.in_one_piece for value in operands):
            return None
        for_images = channels_last(shape) if len(shape) == 4 else None  # not for those of videos
        if for_images is not None and all(_lies_so(value, for_images) for value in operands):
            return tidied(shape, for_images)
        first = operands[0]
        if is_dense(first) and all(same(strides_of(value), strides_of(first)) for value in operands[1:]):
            return first.strides
    return _in_order(shape, [_stretched(shape, value) for value in operands])


def preserved(value: Value) -> Strides | None:
    """The layout of a copy: that of the tensor where it has no gaps, else its axes in the same order."""
    return value.strides if is_dense(value) else _in_order(value.shape, [strides_of(value)])


def is_dense(value: Value) -> bool:
    """Whether a tensor's elements fill a piece of memory, in whatever order of its axes."""
    if value.in_one_piece:
        return True
    return _lies_so(value, _in_order(value.shape, [strides_of(value)]))


def _lies_so(value: Value, strides: Strides | None) -> bool:
    """Whether a tensor has these strides, where an axis has more than one element."""
    return strides is not None and all(
        is_one(size) or equal(a, b) for size, a, b in zip(value.shape, strides_of(value), strides, strict=True)
    )


def _stretched(shape: Sequence[Size], value: Value) -> Strides:
    """Strides of an operand along the axes of the result: 0 where it is stretched."""
    lacking = len(shape) - len(value.shape)
    own = (
        0 if size is ONE and not is_one(wide) else stride
        for size, wide, stride in zip(value.shape, shape[lacking:], strides_of(value), strict=True)
    )
    return (0,) * lacking + tuple(own)


def _in_order(shape: Sequence[Size], operands: Sequence[Strides]) -> Strides | None:
    order = list(reversed(range(len(shape))))  # the axis whose elements lie side by side comes first
    for end in range(1, len(order)):
        here = end
        for before in reversed(range(end)):
            compared = _compared(shape, operands, order[before], order[here])
            if compared < 0:
                break
            if compared > 0:
                order[before], order[here] = order[here], order[before]
                here = before
    out: list[Size] = [1] * len(shape)
    step: Size = 1
    for axis in order:
        out[axis] = step
        step = step * shape[axis]
    return tidied(shape, out)


def _compared(shape: Sequence[Size], operands: Sequence[Strides], a: int, b: int) -> int:
    """Whether axis a stands inside of axis b (−1), outside of it (1), or nothing tells."""
    for strides in operands:
        first, second = strides[a], strides[b]
        if any(isinstance(stride, int) and stride == 0 for stride in (first, second)):
            continue
        if is_longer(first, second):
            return 1
        if is_longer(second, first):
            return -1
        if is_longer(shape[a], shape[b]):
            return 1
    return 0


IMAGES = {4: (1, 3, 2, 0), 5: (1, 4, 3, 2, 0)}  # axes of "channels last", the one that changes fastest first


def side_by_side(shape: Sequence[Size], pieces: Sequence[Value]) -> Strides | None:
    """The layout of what is put together of pieces, or copied into a larger shape.

    "Channels last" where all pieces of four or five axes lie so, in one piece else (TensorShape.cpp
    `compute_output_memory_format`).
    """
    strides = channels_last(shape)
    if strides is None or not all(_is_channels_last(piece) for piece in pieces):
        return None
    return tidied(shape, strides)


def channels_last(shape: Sequence[Size]) -> Strides | None:
    """The strides of "channels last", where a shape has so many axes as an image."""
    if len(shape) not in IMAGES:
        return None
    out: list[Size] = [1] * len(shape)
    step: Size = 1
    for axis in IMAGES[len(shape)]:
        out[axis] = step
        step = step * shape[axis]
    return tuple(out)


def _is_channels_last(value: Value) -> bool:
    """Whether the strides are like those of channels last (c10/core/MemoryFormat.h)."""
    if value.strides is None or len(value.strides) not in IMAGES or equal(value.strides[1], 0):
        return False
    least: Size = 0
    for axis in IMAGES[len(value.strides)]:
        size, stride = value.shape[axis], value.strides[axis]
        if is_longer(least, stride) or (axis == 0 and equal(least, value.strides[1])):
            return False
        least = stride if is_one(size) else stride * size
    return True


def is_one(size: Size) -> bool:
    """Whether an axis has one element, stretched or not."""
    return size is ONE or (isinstance(size, int) and size == 1)
