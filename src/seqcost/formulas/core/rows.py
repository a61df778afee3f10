"""Operators over rows: sums, means, the greatest, running sums, softmax."""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra import Size, where
from seqcost.algebra.work import Kernel
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.layout import is_one, strides_of, tidied
from seqcost.formulas.core.moves import Moves
from seqcost.formulas.core.values import ONE, Value, product


class Rows(Moves):
    """What reads an axis as a whole: see `Tape`."""

    def reduced(self, name: str, x: Value, shape: Sequence[Size], note: str = "Σ", *, happens: Size = 1) -> Value:
        """x summed down to a shape that it was broadcast from; without a way back."""
        out = self.new(name, shape, x.storage.itemsize)
        sizes = (out.elements, _ratio(x.numel, out.elements))
        self.launch(
            name, Kernel.REDUCTION, [x], [out], operator="sum", sizes=sizes, pointwise=x.numel, happens=happens,
            note=note,
        )  # fmt: skip
        out.is_view = len(shape) < len(x.shape)  # summed with the axis kept, then viewed without it
        return out

    def sum(self, name: str, x: Value, *axes: int, keep: bool = False, note: str = "") -> Value:
        """Sum over axes; its gradient is only expanded."""
        return self._reduced(name, x, axes, keep=keep, mean=False, note=note or "Σ")

    def mean(self, name: str, x: Value, *axes: int, keep: bool = False, note: str = "") -> Value:
        """Mean over axes."""
        return self._reduced(name, x, axes, keep=keep, mean=True, note=note or "mean")

    def _reduced(self, name: str, x: Value, axes: Sequence[int], *, keep: bool, mean: bool, note: str) -> Value:
        over = {axis % len(x.shape) for axis in axes} or set(range(len(x.shape)))
        stretched = tuple(ONE if i in over else size for i, size in enumerate(x.shape))
        shape = [size for i, size in enumerate(stretched) if keep or i not in over]
        whole = x.shape

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            left = list(zip(g.shape, strides_of(g), strict=True))
            wide: list[Size] = []
            step: Size = 1
            inside: Size = 1  # how far apart entries of an axis lie that is put in here again
            for i in reversed(range(len(whole))):
                if keep or i not in over:
                    size, step = left.pop()
                    inside = size * step
                else:
                    step = inside
                wide.insert(0, 0 if i in over and not is_one(whole[i]) else step)
            shown = Value(whole, g.storage, strides=tidied(whole, wide), is_view=True)
            return [
                t.pointwise(f"{name}_backward", [shown], 1, "g / n", operator="div", number=True) if mean else shown
            ]

        out = self.new(name, shape, x.storage.itemsize)
        sizes = (out.elements, _ratio(x.numel, out.elements))
        self.launch(
            name, Kernel.REDUCTION, [x], [out], operator="mean" if mean else "sum", sizes=sizes, pointwise=x.numel,
            note=note,
        )  # fmt: skip
        self.follow(name, [x], [out], backward)
        return out

    def largest(self, name: str, x: Value, note: str = "") -> Value:
        """Greatest number of each row, its axis kept; without a way back."""
        return self.kernel(
            name, Kernel.REDUCTION, [x], (*x.shape[:-1], ONE), operator="amax", sizes=_rows(x), pointwise=x.numel,
            itemsize=x.storage.itemsize, note=note or "greatest",
        )  # fmt: skip

    def cumsum(self, name: str, x: Value, axis: int = -1, note: str = "") -> Value:
        """Running sum; backward it runs from the other end."""
        length = x.shape[axis]
        sizes = (_ratio(x.numel, length), length)

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            if isinstance(length, int) and length == 1:
                return [g]
            size = g.storage.itemsize
            happens = 1 if isinstance(length, int) else where(length > 1, 1, 0)  # a sum of one element is itself
            turned = t.flip(f"{name}_backward", t.detach(g), happens=happens)
            summed = t.kernel(
                f"{name}_backward", Kernel.SCAN, [turned], g.shape, operator="cumsum", sizes=sizes,
                pointwise=turned.numel, itemsize=size, happens=happens,
            )  # fmt: skip
            return [t.flip(f"{name}_backward", summed, "and back", happens=happens)]  # the others are there until here

        return self.kernel(
            name, Kernel.SCAN, [x], x.shape, operator="cumsum", sizes=sizes, pointwise=x.numel,
            itemsize=x.storage.itemsize, backward=backward, note=note or "running sum",
        )  # fmt: skip

    def softmax(self, name: str, x: Value, note: str = "") -> Value:
        """Over the last axis."""
        sizes = _rows(x)

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            (y,) = kept
            return [
                t.kernel(
                    f"{name}_backward", Kernel.SOFTMAX, [g, y], y.shape, operator="_softmax_backward_data",
                    sizes=sizes, itemsize=y.storage.itemsize, pointwise=pointwise.SOFTMAX_BACKWARD * y.numel,
                    buffer=t.copy_bytes(g, y), note="a (g − Σ g a)",
                )
            ]  # fmt: skip

        return self.kernel(
            name, Kernel.SOFTMAX, [x], x.shape, operator="_softmax", sizes=sizes,
            pointwise=pointwise.SOFTMAX * x.numel, keeps_result=True, buffer=self.copy_bytes(x),
            itemsize=x.storage.itemsize, backward=backward, note=note or "softmax",
        )  # fmt: skip

    def copy_bytes(self, *values: Value) -> Size:
        """Of copies that a kernel makes of operands that do not lie in one piece."""
        return sum((0 if x.in_one_piece else x.numel * self.bytes_of(x.storage.itemsize) for x in values), start=0)


def _rows(x: Value) -> tuple[Size, Size]:
    return product(x.shape[:-1]), x.shape[-1]


def _ratio(whole: Size, parts: Size) -> Size:
    return whole // parts if isinstance(whole, int) and isinstance(parts, int) and parts else whole / parts
