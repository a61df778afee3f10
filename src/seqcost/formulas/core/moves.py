"""Views and copies: the same numbers in another shape or order, side by side, cut or filled up."""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.layout import is_one, preserved, side_by_side, strides_of, tidied, viewed
from seqcost.formulas.core.leaves import Leaves
from seqcost.formulas.core.values import ONE, Value, same, stretches


class Moves(Leaves):
    """What an operator does to a tensor without computing: see `Tape`."""

    def view(self, x: Value, *shape: Size, name: str = "reshape") -> Value:
        """Another shape of the same memory, and of a copy where that is not possible; backward likewise."""
        strides = None
        if x.strides is not None:
            strides = viewed(x.shape, x.strides, shape)
            if strides is None:
                return self.view(self.copy(name, x), *shape)
            strides = tidied(shape, strides)
        whole = x.shape
        out = Value(tuple(shape), x.storage, strides=strides, is_view=True)
        self.follow(name, [x], [out], lambda t, g, kept, wanted: [t.view(g, *whole, name=f"{name}_back")])
        return out

    def transpose(self, x: Value, *order: int) -> Value:
        """The axes in another order, of the same memory."""
        strides = strides_of(x)
        shape = tuple(x.shape[axis] for axis in order)
        out = Value(shape, x.storage, strides=tidied(shape, [strides[axis] for axis in order]), is_view=True)
        back = [order.index(axis) for axis in range(len(order))]
        self.follow("transpose", [x], [out], lambda t, g, kept, wanted: [t.transpose(g, *back)])
        return out

    def expand(self, name: str, x: Value, *shape: Size) -> Value:
        """Axes of 1 shown larger, and new ones before them, without a copy; the gradient is summed over them."""
        narrow, lacking = x.shape, len(shape) - len(x.shape)
        strides = [
            0 if a is ONE and not is_one(b) else stride
            for a, b, stride in zip(narrow, shape[lacking:], strides_of(x), strict=True)
        ]
        for axis in reversed(range(lacking)):
            inside = strides[0] * shape[axis + 1] if strides else 1
            strides.insert(0, inside if is_one(shape[axis]) else 0)
        out = Value(shape, x.storage, strides=tidied(shape, strides), is_view=True)

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            if same(narrow, shape):
                return [g]
            return [t.reduced(f"{name}_sum", g, narrow, happens=stretches(narrow, shape))]

        self.follow(name, [x], [out], backward)
        return out

    def part(self, x: Value, *shape: Size, name: str = "part") -> Value:
        """A slice: a view of some of the elements; backward it is put into zeros, one kernel."""
        whole, itemsize = x.shape, x.storage.itemsize
        strides = strides_of(x)[len(x.shape) - len(shape) :] if len(shape) <= len(x.shape) else None
        out = Value(shape, x.storage, strides=None if strides is None else tidied(shape, strides), is_view=True)

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [t._into_zeros(f"{name}_backward", g, whole, "slice_backward", itemsize)]

        self.follow(name, [x], [out], backward)
        return out

    def _into_zeros(self, name: str, g: Value, whole: Sequence[Size], operator: str, itemsize: Size | None) -> Value:
        return self.kernel(name, Kernel.COPY, [g], whole, operator=operator, itemsize=itemsize, note="into zeros")

    def parts(self, x: Value, *shapes: Sequence[Size], name: str = "parts") -> list[Value]:
        """All pieces at once (split, chunk, unbind): their gradients return as one, put side by side."""
        whole, itemsize = x.shape, x.storage.itemsize
        outs = [Value(tuple(shape), x.storage, strides=_of_part(x, shape), is_view=True) for shape in shapes]

        def backward(t: Any, gs: Sequence[Any], kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [t.gathered(f"{name}_backward", gs, [tuple(s) for s in shapes], whole, itemsize)]

        self.follow(name, [x], outs, backward, single=False)
        return outs

    def gathered(
        self, name: str, pieces: Sequence[Value | None], shapes: Sequence[Any], whole: Sequence[Size], itemsize: Any
    ) -> Value:
        """Pieces copied side by side; zeros where there is none."""
        full = [
            self.kernel(name, Kernel.FILL, [], s, operator="zeros", itemsize=itemsize) if p is None else p
            for p, s in zip(pieces, shapes, strict=True)
        ]
        strides = side_by_side(whole, full)
        return self.kernel(name, Kernel.COPY, full, whole, operator="cat", itemsize=itemsize, strides=strides)

    def select(self, x: Value, axis: int, *, name: str = "select") -> Value:
        """One index of an axis, which is gone then: a view; backward it is put into zeros, one kernel."""
        whole, itemsize = x.shape, x.storage.itemsize
        out = _without(x, axis)

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [t._into_zeros(f"{name}_backward", g, whole, "select_backward", itemsize)]

        self.follow(name, [x], [out], backward)
        return out

    def every(self, x: Value, axis: int, *, name: str = "every") -> list[Value]:
        """x unbound along an axis of n: the pieces over which `loop(n)` turns, one for each turn that is passed.

        Their gradients are stacked again; a 0 stands for one that does not come.
        """
        n, itemsize, whole = x.shape[axis], x.storage.itemsize, x.shape
        weights = self.weights(n)

        def backward(t: Any, gs: Sequence[Any], kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            pieces = [
                t.kernel(f"{name}_backward", Kernel.FILL, [], (), operator="zeros", itemsize=itemsize, happens=weight)
                if g is None
                else g
                for g, weight in zip(gs, weights, strict=True)
            ]
            return [t._stacked(f"{name}_backward", pieces, whole, weights, itemsize)]

        outs = [_without(x, axis) for _ in weights]
        self.follow(name, [x], outs, backward, single=False)
        return outs

    def stack(self, name: str, pieces: Sequence[Value], n: Size, *, axis: int = 1, note: str = "") -> Value:
        """The results of all n turns of a loop copied into one tensor; `pieces` are those of the turns passed."""
        one = pieces[0].shape
        weights = self.weights(n)
        axis %= len(one) + 1

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [_without(g, axis) if w else None for w in wanted]

        out = self._stacked(name, pieces, (*one[:axis], n, *one[axis:]), weights, pieces[0].storage.itemsize, note)
        self.follow(name, pieces, [out], backward)
        return out

    def _stacked(
        self,
        name: str,
        pieces: Sequence[Value],
        shape: Sequence[Size],
        weights: Sequence[Size],
        itemsize: Size | None,
        note: str = "",
    ) -> Value:
        reads = [weight * piece.elements for piece, weight in zip(pieces, weights, strict=True)]
        return self.kernel(
            name, Kernel.COPY, pieces, shape, operator="stack", reads=reads, itemsize=itemsize, note=note or "stacked"
        )

    def pad(self, name: str, x: Value, *shape: Size, note: str = "") -> Value:
        """Copied into a larger shape, filled up with a number: F.pad; backward what filled up is cut off by a copy."""
        whole, itemsize = x.shape, x.storage.itemsize

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            inner = Value(tuple(whole), g.storage, strides=tidied(whole, strides_of(g)))
            return [t.kernel(
                f"{name}_back", Kernel.COPY, [g], whole, operator="constant_pad_nd", itemsize=itemsize,
                strides=preserved(inner),
            )]  # fmt: skip

        return self.kernel(
            name, Kernel.COPY, [x], shape, operator="constant_pad_nd", itemsize=itemsize,
            strides=side_by_side(shape, [x]), note=note or "filled up", backward=backward,
        )  # fmt: skip

    def lower(self, name: str, x: Value, note: str = "") -> Value:
        """The last two axes below a diagonal, 0 above: torch.tril."""
        return self._triangle(name, x, "tril", note)

    def upper(self, name: str, x: Value, note: str = "") -> Value:
        """The last two axes above a diagonal, 0 below: torch.triu."""
        return self._triangle(name, x, "triu", note)

    def _triangle(self, name: str, x: Value, operator: str, note: str) -> Value:
        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            size = g.storage.itemsize
            return [t.kernel(f"{name}_backward", Kernel.COPY, [g], g.shape, operator=operator, itemsize=size)]

        return self.kernel(
            name, Kernel.COPY, [x], x.shape, operator=operator, itemsize=x.storage.itemsize,
            note=note or "0 beyond a diagonal", backward=backward,
        )  # fmt: skip

    def triangle_into(self, name: str, x: Value, operator: str, *, happens: Size = 1, note: str = "") -> None:
        """0 beyond a diagonal written over x, which no gradient flows through: tril_, triu_."""
        self.launch(name, Kernel.COPY, [x], [], operator=operator, into=x, happens=happens, note=note)

    def fill_where(self, name: str, x: Value, mask: Value, note: str = "") -> Value:
        """A number where a mask says so: masked_fill; backward 0 there. Autograd keeps the mask."""

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [t.kernel(
                f"{name}_backward", Kernel.ELEMENTWISE, [g, *kept], g.shape, operator="masked_fill",
                itemsize=g.storage.itemsize,
            ), None]  # fmt: skip

        return self.kernel(
            name, Kernel.ELEMENTWISE, [x, mask], x.shape, operator="masked_fill", itemsize=x.storage.itemsize,
            note=note or "masked", backward=backward, keeps=[(mask, None)],
        )  # fmt: skip

    def flip(self, name: str, x: Value, note: str = "", *, happens: Size = 1) -> Value:
        """From the other end of an axis: a copy, backward too."""

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [t.flip(f"{name}_backward", t.detach(g))]

        return self.kernel(
            name, Kernel.COPY, [x], x.shape, operator="flip", itemsize=x.storage.itemsize, strides=preserved(x),
            note=note or "from the other end", backward=backward, happens=happens,
        )  # fmt: skip

    def cat(self, name: str, pieces: Sequence[Value], *shape: Size, note: str = "") -> Value:
        """Pieces copied side by side; backward each is given its part of the gradient, in place."""
        shapes = [piece.shape for piece in pieces]

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            steps = strides_of(g)
            return [Value(s, g.storage, strides=tidied(s, steps), is_view=True) if w else None
                    for s, w in zip(shapes, wanted, strict=True)]  # fmt: skip

        return self.kernel(
            name, Kernel.COPY, pieces, shape, operator="cat", itemsize=pieces[0].storage.itemsize,
            strides=side_by_side(shape, pieces), note=note, backward=backward,
        )  # fmt: skip

    def stacked(self, name: str, x: Value, note: str = "") -> Value:
        """x alone along a new first axis, copied."""
        shape = x.shape
        return self.kernel(
            name, Kernel.COPY, [x], (ONE, *shape), operator="stack", itemsize=x.storage.itemsize, note=note,
            backward=lambda t, g, kept, wanted: [t.view(g, *shape)],
        )  # fmt: skip

    def detach(self, x: Value) -> Value:
        """The same memory, without a gradient."""
        return Value(x.shape, x.storage, strides=x.strides)

    def copy(self, name: str, x: Value, *, note: str = "") -> Value:
        """In one piece: clone, contiguous; the gradient goes on as it is."""
        return self.kernel(
            name, Kernel.COPY, [x], x.shape, operator="clone", itemsize=x.storage.itemsize, note=note,
            backward=lambda t, g, kept, wanted: [g],
        )  # fmt: skip

    def float32(self, name: str, x: Value) -> Value:
        """In float32 where the working dtype is narrower; else x itself."""
        if not self.narrow or x.storage.itemsize is not None:
            return x
        return self.cast(name, x, 4, "to float32")

    def working(self, name: str, x: Value) -> Value:
        """Back in the working dtype after `float32`."""
        if not self.narrow or x.storage.itemsize is None:
            return x
        return self.cast(name, x, None, "from float32")

    def cast(self, name: str, x: Value, itemsize: Size | None, note: str = "") -> Value:
        """In numbers of another width; x itself where it has that width."""
        before = x.storage.itemsize
        if self.bytes_of(before) == self.bytes_of(itemsize):
            return x

        def backward(t: Any, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [t.kernel(
                f"{name}_backward", Kernel.COPY, [g], g.shape, operator="_to_copy", itemsize=before,
                strides=preserved(g),
            )]  # fmt: skip

        return self.kernel(
            name, Kernel.COPY, [x], x.shape, operator="_to_copy", itemsize=itemsize, strides=preserved(x), note=note,
            backward=backward,
        )  # fmt: skip

    @property
    def narrow(self) -> bool:
        """Whether the working dtype has fewer bytes than float32."""
        return isinstance(self.run.itemsize, int) and self.run.itemsize < 4

    @property
    def wide(self) -> int | None:
        """Item size of what is computed in float32 at least: None where the working dtype is wide enough."""
        return 4 if self.narrow else None


def _without(x: Value, axis: int) -> Value:
    """A view of one index of an axis."""
    axis %= len(x.shape)
    strides = strides_of(x)
    shape, left = (*x.shape[:axis], *x.shape[axis + 1 :]), (*strides[:axis], *strides[axis + 1 :])
    return Value(shape, x.storage, strides=tidied(shape, left), is_view=True)


def _of_part(x: Value, shape: Sequence[Size]) -> tuple[Size, ...] | None:
    """Strides of a slice, or of one of the entries of the first axes."""
    return tidied(shape, strides_of(x)[len(x.shape) - len(shape) :])
