"""Where the elements of a tensor lie: views of strided memory, and the layout that a result takes from its operands."""

from collections.abc import Sequence

from seqcost.algebra import Size
from seqcost.formulas.core.comparing import equal, is_longer
from seqcost.formulas.core.values import ONE, Value, contiguous_strides, lies_in_one_piece

Strides = tuple[Size, ...]


def strides_of(value: Value) -> Strides:
    """Elements from one index to the next, axis by axis."""
    return contiguous_strides(value.shape) if value.strides is None else value.strides


def tidied(shape: Sequence[Size], strides: Sequence[Size]) -> Strides | None:
    """None for strides that are contiguous."""
    return None if lies_in_one_piece(shape, strides) else tuple(strides)


def viewed(shape: Sequence[Size], strides: Sequence[Size], wanted: Sequence[Size]) -> Strides | None:
    """Strides of the same memory in another shape; None where that needs a copy.

    Axes that follow each other in memory are taken together, and cut again as it is wanted.
    """
    groups = _groups(shape, strides)
    out: list[Size] = []
    rest = [size for size in wanted if not _is_one(size)]
    for length, stride in groups:
        taken: list[Size] = []
        product: Size = 1
        while not equal(product, length):
            if not rest:
                return None
            product = product * rest[0]
            taken.append(rest.pop(0))
            if isinstance(product, int) and isinstance(length, int) and product > length:
                return None
        out += [step * stride for step in contiguous_strides(taken)]
    if rest:
        return None
    steps: list[Size] = []
    for size in reversed(wanted):  # an axis of one is as far from itself as all that lies inside
        inside = steps[-1] * wanted[len(wanted) - len(steps)] if steps else 1
        steps.append(inside if _is_one(size) else out.pop())
    return tuple(reversed(steps))


def _groups(shape: Sequence[Size], strides: Sequence[Size]) -> list[tuple[Size, Size]]:
    """(length, stride) of axes that lie one in the other, taken together."""
    out: list[tuple[Size, Size]] = []
    for size, stride in zip(shape, strides, strict=True):
        if _is_one(size):
            continue
        if out and equal(out[-1][1], size * stride):
            out[-1] = (out[-1][0] * size, stride)
        else:
            out.append((size, stride))
    return out


def like(shape: Sequence[Size], operands: Sequence[Value]) -> Strides | None:
    """The layout of an element-wise result: without gaps, its axes in the order that the operands have them in.

    The first operand decides that tells two axes apart, as in PyTorch (TensorIterator.cpp `reorder_dimensions`).
    """
    if all(value.strides is None for value in operands):
        return None
    return _in_order(shape, [_stretched(shape, value) for value in operands])


def dense(shape: Sequence[Size], strides: Sequence[Size]) -> Strides | None:
    """Strides without gaps, the axes in the same order."""
    return _in_order(shape, [tuple(strides)])


def _stretched(shape: Sequence[Size], value: Value) -> Strides:
    """Strides of an operand along the axes of the result: 0 where it is stretched."""
    lacking = len(shape) - len(value.shape)
    own = (
        0 if size is ONE and wide is not ONE else stride
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
    if _is_one(shape[a]) or _is_one(shape[b]):
        return 0
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
    if len(shape) not in IMAGES or not all(_is_channels_last(piece) for piece in pieces):
        return None
    out: list[Size] = [1] * len(shape)
    step: Size = 1
    for axis in IMAGES[len(shape)]:
        out[axis] = step
        step = step * shape[axis]
    return tidied(shape, out)


def _is_channels_last(value: Value) -> bool:
    """Whether the strides are like those of channels last (c10/core/MemoryFormat.h)."""
    if value.strides is None or len(value.strides) not in IMAGES or equal(value.strides[1], 0):
        return False
    least: Size = 0
    for axis in IMAGES[len(value.strides)]:
        size, stride = value.shape[axis], value.strides[axis]
        if is_longer(least, stride) or (axis == 0 and equal(least, value.strides[1])):
            return False
        least = stride if _is_one(size) else stride * size
    return True


def _is_one(size: Size) -> bool:
    return size is ONE or (isinstance(size, int) and size == 1)
