"""Windows that overlap, and look-ups piece by piece, on a tape: as PyTorch executes them, the way back included."""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.layout import strides_of, tidied
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value, product


def overlapping(t: Tape, name: str, x: Value, axis: int, count: Size, size: Size, step: Size) -> Value:
    """`count` windows of `size` along an axis, `step` apart: `Tensor.unfold`, a view.

    Its last axis goes through a window. Backward the gradients of windows that overlap are added.
    """
    whole, itemsize, strides = x.shape, x.storage.itemsize, strides_of(x)
    shape = (*whole[:axis], count, *whole[axis + 1 :], size)
    steps = (*strides[:axis], step * strides[axis], *strides[axis + 1 :], strides[axis])

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        return [
            t.kernel(
                f"{name}_backward", Kernel.SCATTER, [g], whole, operator="unfold_backward", sizes=(g.numel,),
                pointwise=g.numel, itemsize=itemsize, note="gradients of windows that overlap",
            )
        ]  # fmt: skip

    out = Value(shape, x.storage, strides=tidied(shape, steps), is_view=True)
    t.follow(name, [x], [out], backward)
    return out


def looked_up(t: Tape, name: str, x: Value, axis: int, at: Value, note: str = "looked up") -> Value:
    """Slices of x along an axis, copied by their number: `index_select`; backward they are added up where they were."""
    whole, itemsize = x.shape, x.storage.itemsize
    shape = (*whole[:axis], at.numel, *whole[axis + 1 :])
    n = product(shape)

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        (which,) = kept
        return [_added(t, f"{name}_backward", "index_add", whole, g, which), None]

    return t.kernel(
        name, Kernel.GATHER, [x, at], shape, operator="index_select", sizes=(n,), reads=[n, at.numel],
        itemsize=itemsize, backward=backward, keeps=[(at, 0)], note=note,
    )  # fmt: skip


def gathered(t: Tape, name: str, x: Value, index: Value, note: str = "looked up") -> Value:
    """x[…, index] along the last axis: `torch.gather`; backward the gradients are added where they came from."""
    whole, itemsize = x.shape, x.storage.itemsize
    n = index.numel

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        _, which = kept
        return [_added(t, f"{name}_backward", "scatter_add", whole, g, which), None]

    return t.kernel(
        name, Kernel.GATHER, [x, index], index.shape, operator="gather", sizes=(n,), reads=[n, index.elements],
        itemsize=itemsize, backward=backward, keeps=[(x, 0), (index, 0)], note=note,
    )  # fmt: skip


def _added(t: Tape, name: str, operator: str, whole: Sequence[Size], g: Value, which: Value) -> Value:
    """Gradients added to zeros where an index says."""
    n = g.numel
    zeros = t.kernel(
        name, Kernel.FILL, [g], whole, operator="new_zeros", reads=[0], itemsize=g.storage.itemsize,
        note="zeros, for the gradient",
    )  # fmt: skip
    t.launch(
        name, Kernel.SCATTER, [zeros, g, which], [], operator=operator, into=zeros, sizes=(n,), pointwise=n,
        reads=[g.elements, g.elements, which.elements], writes=g.elements, note="added where they came from",
    )  # fmt: skip
    return zeros
