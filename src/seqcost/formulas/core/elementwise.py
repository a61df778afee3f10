"""Operators element by element: functions of one tensor, and between several, broadcast or in place."""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.buffers import number_bytes
from seqcost.formulas.core.functions import FUNCTIONS
from seqcost.formulas.core.layout import like
from seqcost.formulas.core.rows import Rows
from seqcost.formulas.core.values import Backward, Value, broadcast, product, same, stretches


class Elementwise(Rows):
    """What an operator does to each element by itself: see `Tape`."""

    def pointwise(
        self,
        name: str,
        inputs: Sequence[Value],
        operations: int,
        note: str = "",
        *,
        operator: str,
        number: bool = False,
        whole: bool = False,
        buffer: Size = 0,
    ) -> Value:
        """An element-wise kernel between tensors (or with a plain number), broadcast; without a way back."""
        shape = inputs[0].shape
        for value in inputs[1:]:
            shape = broadcast(shape, value.shape)
        return self.kernel(
            name, Kernel.ELEMENTWISE, inputs, shape, operator=operator, pointwise=operations * product(shape),
            buffer=self._widened_bytes(inputs) + (self._number_bytes(inputs, whole=whole) if number else buffer),
            itemsize=_itemsize(inputs), strides=like(shape, inputs, number=number), note=note,
        )  # fmt: skip

    def unary(self, name: str, x: Value, function: str, note: str = "") -> Value:
        """One of FUNCTIONS on every element."""
        kind = FUNCTIONS[function]
        keeps_something = kind.keeps != "nothing"

        def backward(t: Elementwise, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [kind.derivative(t, f"{name}_backward", g, kept[0] if keeps_something else None)]

        return self.kernel(
            name, Kernel.ELEMENTWISE, [x], x.shape, operator=kind.operator, pointwise=kind.forward * x.numel,
            backward=backward,
            buffer=self._number_bytes([x], whole=kind.whole) if kind.number else 0,
            keeps=[(x, None)] if kind.keeps == "input" else [], keeps_result=kind.keeps == "result",
            itemsize=x.storage.itemsize, strides=like(x.shape, [x], number=kind.number), note=note or function,
        )  # fmt: skip

    def add(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """a + b, broadcast."""
        return self._between(name, [a, b], lambda t, g, kept, wanted: [g, g], (), note or "a + b", operator="add")

    def in_place(
        self,
        name: str,
        a: Value,
        others: Sequence[Value],
        operations: int,
        *,
        operator: str,
        backward: Backward,
        keeps: Sequence[tuple[Value, int | None]] = (),
        keeps_result: bool = False,
        note: str = "",
    ) -> Value:
        """An element-wise kernel written over its first operand."""
        out = Value(a.shape, a.storage, strides=a.strides, is_view=a.is_view)
        self.launch(
            name, Kernel.ELEMENTWISE, [a, *others], [], operator=operator, into=a, pointwise=operations * a.numel,
            note=note,
        )  # fmt: skip
        self.follow(name, [a, *others], [out], backward, [*keeps, *([(out, None)] if keeps_result else [])])
        return out

    def plus_into(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """a + b of equal shapes, written over a."""
        return self.in_place(
            name, a, [b], 1, operator="add", backward=lambda t, g, kept, wanted: [g, g], note=note or "a + b"
        )

    def into(self, name: str, x: Value, function: str, note: str = "") -> Value:
        """One of FUNCTIONS whose derivative reads its result, written over x."""
        kind = FUNCTIONS[function]
        assert kind.keeps == "result", f"{function} needs its input for the way back"

        def backward(t: Elementwise, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [kind.derivative(t, f"{name}_backward", g, kept[0])]

        return self.in_place(
            name, x, [], kind.forward, operator=kind.operator, backward=backward, keeps_result=True,
            note=note or function,
        )  # fmt: skip

    def add_into(self, name: str, a: Value, b: Value, happens: Size = 1, note: str = "") -> Value:
        """a + b, written over a; b wants no gradient."""
        out = Value(a.shape, a.storage, strides=a.strides)
        self.launch(
            name, Kernel.ELEMENTWISE, [a, b], [], operator="add", into=a, pointwise=a.numel, happens=happens,
            note=note or "a + b",
        )  # fmt: skip
        self.follow(name, [a], [out], lambda t, g, kept, wanted: [g])
        return out

    def shift_into(self, name: str, x: Value, note: str = "") -> Value:
        """x plus a number, written over x."""
        out = Value(x.shape, x.storage, strides=x.strides)
        self.launch(
            name, Kernel.ELEMENTWISE, [x], [], operator="add", into=x, pointwise=x.numel,
            buffer=self._number_bytes([x]), note=note,
        )  # fmt: skip
        self.follow(name, [x], [out], lambda t, g, kept, wanted: [g])
        return out

    def subtract(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """a − b, broadcast."""

        def derivatives(t: Elementwise, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [g, t.pointwise(f"{name}_db", [g], 1, "−g", operator="neg") if wanted[1] else None]

        return self._between(name, [a, b], derivatives, (), note or "a − b", operator="sub")

    def multiply(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """a ⊙ b, broadcast."""

        def derivatives(t: Elementwise, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            db = t.pointwise(f"{name}_db", [g, kept[0]], 1, "g ⊙ a", operator="mul") if wanted[1] else None
            return [t.pointwise(f"{name}_da", [g, kept[1]], 1, "g ⊙ b", operator="mul") if wanted[0] else None, db]

        return self._between(name, [a, b], derivatives, ((a, 1), (b, 0)), note or "a ⊙ b", operator="mul")

    def divide(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """a / b, broadcast."""

        def derivatives(t: Elementwise, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            db = None
            if wanted[1]:  # first, and from the right to the left, as C++ does it
                once = t.pointwise(f"{name}_db", list(kept), 1, "a / b", operator="div")
                twice = t.pointwise(f"{name}_db", [once, kept[1]], 1, "(a/b)/b", operator="div")
                minus = [t.pointwise(f"{name}_db", [g], 1, "−g", operator="neg")]
                db = t.pointwise(f"{name}_db", [minus.pop(), twice], 1, operator="mul")
                del once, twice
            da = t.pointwise(f"{name}_da", [g, kept[1]], 1, "g / b", operator="div") if wanted[0] else None
            return [da, db]

        return self._between(name, [a, b], derivatives, ((a, 1), (b, None)), note or "a / b", operator="div")

    def add_product(self, name: str, a: Value, b: Value, c: Value, note: str = "") -> Value:
        """a + b ⊙ c in one kernel, broadcast: torch.addcmul."""

        def derivatives(t: Elementwise, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            found: list[Value | None] = [g, None, None]
            for i, mark in ((1, "db"), (2, "dc")):
                if wanted[i]:
                    by = f"{name}_{mark}"
                    once = [t.pointwise(by, [kept[i - 1]], 1, "× 1", operator="mul", number=True)]
                    found[i] = t.pointwise(by, [g, once.pop()], 1, operator="mul")
            return found

        return self._between(
            name, [a, b, c], derivatives, ((c, 1), (b, 2)), note or "a + b ⊙ c", operator="addcmul", operations=2
        )

    def _between(
        self,
        name: str,
        operands: Sequence[Value],
        derivatives: Backward,
        keeps: Sequence[tuple[Value, int | None]],
        note: str,
        *,
        operator: str,
        operations: int = 1,
    ) -> Value:
        """An element-wise kernel, broadcast; the gradients are summed over the axes that were stretched."""
        shape: tuple[Size, ...] = operands[0].shape
        for value in operands[1:]:
            shape = broadcast(shape, value.shape)
        shapes = [value.shape for value in operands]

        def backward(t: Elementwise, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            found = list(derivatives(t, g, kept, wanted))
            for i, mark in zip(range(len(shapes)), ("da", "db", "dc"), strict=False):
                if not wanted[i]:
                    found[i] = None
                elif not same(shapes[i], shape):
                    one, found[i] = found[i], None
                    assert one is not None
                    found[i] = t.reduced(
                        f"{name}_{mark}", one, shapes[i], "summed over the axes that were stretched",
                        happens=stretches(shapes[i], shape),
                    )  # fmt: skip
                    del one
            return found

        return self.kernel(
            name, Kernel.ELEMENTWISE, operands, shape, operator=operator, pointwise=operations * product(shape),
            backward=backward, keeps=keeps, itemsize=_itemsize(operands), strides=like(shape, operands),
            buffer=self._widened_bytes(operands), note=note,
        )  # fmt: skip

    def compare(self, name: str, x: Value, note: str = "", *, operator: str) -> Value:
        """x beside a whole number: a byte that says yes or no for each element."""
        return self.kernel(
            name, Kernel.ELEMENTWISE, [x], x.shape, operator=operator, pointwise=x.numel, itemsize=1,
            buffer=self._number_bytes([x], whole=True), note=note,
        )  # fmt: skip

    def choose(self, name: str, which: Value, a: Value, b: Value, note: str = "") -> Value:
        """a where `which` says so, else b, of equal shapes: torch.where. Autograd keeps `which`."""

        def backward(t: Elementwise, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [None, *(t._chosen(f"{name}_backward", kept[0], g) if wants else None for wants in wanted[1:])]

        return self.kernel(
            name, Kernel.ELEMENTWISE, [which, a, b], a.shape, operator="where", itemsize=a.storage.itemsize,
            backward=backward, keeps=[(which, None)], note=note,
        )  # fmt: skip

    def _chosen(self, name: str, which: Value, g: Value) -> Value:
        size = g.storage.itemsize
        nothing = self.kernel(name, Kernel.FILL, [], (), operator="scalar_tensor", itemsize=size, note="0")
        return self.kernel(name, Kernel.ELEMENTWISE, [which, g, nothing], g.shape, operator="where", itemsize=size)

    def _widened_bytes(self, operands: Sequence[Value]) -> Size:
        """What a kernel holds of operands in the working dtype, where it computes in float32."""
        if not self.narrow or _itemsize(operands) != self.wide:
            return 0
        return sum((v.numel * self.bytes_of(self.wide) for v in operands if v.storage.itemsize is None), start=0)

    def _number_bytes(self, inputs: Sequence[Value], *, whole: bool = False) -> Size:
        return number_bytes(self.bytes_of(inputs[0].storage.itemsize), whole=whole)


def _itemsize(values: Sequence[Value]) -> Size | None:
    """Of a result: that of the first operand whose numbers are not of the working dtype."""
    return next((v.storage.itemsize for v in values if v.storage.itemsize is not None), None)
