"""A tape of operators: the program of a layer, written once, from which all its costs are read.

A program writes down what its layer executes, tensor by tensor, as one would write the layer itself. The tape then
knows the rows of work forward; those of the backward pass, because each kind of operator has a derivative that is a
program on the tape too; what autograd keeps; the longest chain of dependent operators; and the memory of every moment.

    class LinearAttention(Component):
        def program(self, t, x, source=None):
            q = t.unary("feature_query", t.linear("query", x, self.H * self.K), "elu")
            ...

A loop over n chunks is written as `for _ in t.loop(n)`, n equal layers as `for _ in t.layers(n)`. The first and the
last turns are passed one by one, and one in the middle stands for all the others.

Variables matter: a tensor is in memory as long as the program holds it, as in the layer itself.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from seqcost.algebra import Size, where
from seqcost.algebra.work import Kernel
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.buffers import TINY_PRODUCT, blas_reads, number_bytes
from seqcost.formulas.core.functions import FUNCTIONS
from seqcost.formulas.core.layout import like
from seqcost.formulas.core.moves import Moves
from seqcost.formulas.core.values import ONE, Backward, Value, broadcast, contiguous_strides, product, same, stretches
from seqcost.formulas.core.workload import Workload


class Tape(Moves):
    """What a program writes on: see the recorder for what is made of it."""

    def __init__(self, run: Workload, *, recording: bool = True, remembering: bool = False) -> None:
        super().__init__(run, recording=recording, remembering=remembering)
        self._shared: dict[str, Value] = {}
        self._handed_on: list[Value] = []
        self.begun: list[Value] = []  # what a state begins with, made of a source, in the order in which it is read

    # --- leaves -----------------------------------------------------------------------------------------------------

    def given(self, shape: Sequence[Size], *, belongs: str = "input", gradient: bool = True) -> Value:
        """A tensor that is handed in."""
        return self.resident(belongs, shape, belongs=belongs, flows=gradient, on_chain=True)

    def weight(self, *shape: Size) -> Value:
        """A parameter."""
        return self.resident("weight", shape, belongs="weight", flows=True, on_chain=False)

    def shared(self, name: str, *shape: Size) -> Value:
        """A parameter that several parts of a model read."""
        if name not in self._shared:
            self._shared[name] = self.weight(*shape)
        return self._shared[name]

    def buffer(self, *shape: Size, itemsize: Size | None = None) -> Value:
        """A tensor that the layer holds and that is not trained."""
        return self.resident("buffer", shape, belongs="weight", itemsize=itemsize, flows=False, on_chain=False)

    def constant(
        self, name: str, *shape: Size, itemsize: Size | None = None, fills: int = 1, happens: Size = 1, note: str = ""
    ) -> Value:
        """A tensor made on the way from nothing: zeros, a mask; written `fills` times (0: by no operator)."""
        out = self.new(name, shape, itemsize)
        if not isinstance(happens, int):
            out.storage.elements = out.storage.elements * happens  # what is not made is not kept
        for i in range(fills):
            before, after = ([out], []) if i else ([], [out])
            self.launch(name, Kernel.FILL, before, after, into=out if i else None, happens=happens, note=note)
        return out

    def carried(self, name: str, *shape: Size, itemsize: Size | None = None) -> Value:
        """A tensor of the state that is handed in."""
        return self.resident(name, shape, belongs="state", itemsize=itemsize, flows=False, on_chain=True)

    def state(self, name: str, *shape: Size, itemsize: Size | None = None) -> Value:
        """What is carried in: handed in where the run has started, else zeros."""
        if not self.run.started:
            return self.constant(name, *shape, itemsize=itemsize)
        return self.carried(name, *shape, itemsize=itemsize)

    # --- any operator -----------------------------------------------------------------------------------------------

    def pointwise(
        self,
        name: str,
        inputs: Sequence[Value],
        operations: int,
        note: str = "",
        *,
        number: bool = False,
        buffer: Size = 0,
    ) -> Value:
        """An element-wise kernel between tensors (or with a plain number), broadcast; without a way back."""
        shape = inputs[0].shape
        for value in inputs[1:]:
            shape = broadcast(shape, value.shape)
        return self.kernel(
            name, Kernel.ELEMENTWISE, inputs, shape, pointwise=operations * product(shape),
            buffer=self._number_bytes(inputs) if number else buffer, itemsize=_itemsize(inputs),
            strides=like(shape, inputs), note=note,
        )  # fmt: skip

    # --- parts ------------------------------------------------------------------------------------------------------

    def part_of(self, name: str, part: Any, times: Size, x: Value, source: Value | None = None) -> Value:
        """The program of a component, below a name, `times` times in series."""
        with self.at(name):
            y = x
            if isinstance(times, int) and times == 1:
                y = part.program(self, y, source)
            else:
                for _ in self.layers(times, reading=source):
                    y = part.program(self, y, source)
        tokens = part.tokens_out(self.run.T)
        if tokens is not self.run.T:
            self.run = replace(self.run, T=tokens)
        return y

    def _number_bytes(self, inputs: Sequence[Value]) -> Size:
        return number_bytes(self.bytes_of(inputs[0].storage.itemsize))

    def carry(self, *values: Value) -> None:
        """The state that is handed on: held until the run is over, where a state is asked for."""
        if self.run.started:
            self._handed_on += values

    # --- products ---------------------------------------------------------------------------------------------------

    def linear(
        self,
        name: str,
        x: Value,
        n_out: Size,
        *,
        bias: bool = True,
        weight: Value | None = None,
        shift: Value | None = None,
        note: str = "",
    ) -> Value:
        """X W + b over the last axis: nn.Linear; `weight` and `shift` where they are used more than once."""
        *front, n_in = x.shape
        rows = product(front)
        flops = 2 * rows * n_in * n_out
        weight = self.transpose(self.weight(n_out, n_in) if weight is None else weight, 1, 0)
        flat = x if len(front) == 1 else self.view(x, rows, n_in, name=name)
        inputs = [flat, weight]
        if bias:  # in this order gradients go on
            inputs.insert(0, self.weight(n_out) if shift is None else shift)

        def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            kept_x, kept_weight = kept
            *wanted_shift, wanted_x, wanted_weight = wanted

            def to_input() -> Value:
                return t.kernel(
                    f"{name}_dx", Kernel.PRODUCT, [g, kept_weight], (rows, n_in), sizes=(rows, n_out, n_in),
                    contraction=flops, buffer=t._matrix_bytes(g), note="g Wᵀ",
                )  # fmt: skip

            def to_weight() -> Value:
                found = t.kernel(
                    f"{name}_dw", Kernel.PRODUCT, [g, kept_x], (n_out, n_in), sizes=(n_out, rows, n_in),
                    contraction=flops, buffer=t._matrix_bytes(g), note="gᵀ x",
                )  # fmt: skip
                return t.transpose(found, 1, 0)

            dx = to_input() if wanted_x and bias else None  # addmm begins with the input, mm with the weight
            dw = to_weight() if wanted_weight else None
            if wanted_x and not bias:
                dx = to_input()
            db = [t.reduced(f"{name}_db", g, (n_out,), "Σ g") if want else None for want in wanted_shift]
            return [*db, dx, dw]

        first = 1 if bias else 0
        y = self.kernel(
            name, Kernel.PRODUCT, inputs, (rows, n_out), sizes=(rows, n_in, n_out), contraction=flops,
            pointwise=rows * n_out if bias else 0, backward=backward, keeps=[(flat, first + 1), (weight, first)],
            note=note or ("x W + b" if bias else "x W"),
        )  # fmt: skip
        return y if len(front) == 1 else self.view(y, *front, n_out)

    def matmul(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """A [...,m,k] @ b [...,k,n] over equal batch axes, transposed views included: torch.bmm."""
        return self._product(name, None, a, b, note or "[m,k] @ [k,n]")

    def add_matmul(self, name: str, c: Value, a: Value, b: Value, note: str = "") -> Value:
        """C + a @ b in one kernel, c broadcast: torch.baddbmm."""
        return self._product(name, c, a, b, note or "c + [m,k] @ [k,n]")

    def _product(self, name: str, c: Value | None, a: Value, b: Value, note: str) -> Value:
        *batch, m, k = a.shape
        n = b.shape[-1]
        sizes = (product(batch), m, k, n)
        flops = 2 * product(sizes)
        shape = (*batch, m, n)
        summed = c is not None and not same(c.shape, shape)
        c_shape: tuple[Size, ...] = () if c is None else c.shape
        itemsize = a.storage.itemsize

        def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            kept_a, kept_b = kept
            dc = da = db = None
            *wanted_c, wanted_a, wanted_b = wanted

            def second() -> Value:
                return t.product(f"{name}_db", t.swapped(kept_a), g, itemsize, "aᵀ g")

            if wanted_b and not wanted_c:  # as bmm does it; baddbmm begins with the other
                db = second()
            if wanted_a:
                da = t.product(f"{name}_da", g, t.swapped(kept_b), itemsize, "g bᵀ")
            if wanted_b and wanted_c:
                db = second()
            if wanted_c and wanted_c[0]:
                dc = t.reduced(f"{name}_dc", g, c_shape, "Σ g") if summed else g
            return [dc, da, db] if wanted_c else [da, db]

        first = 0 if c is None else 1
        return self.kernel(
            name, Kernel.BATCHED_PRODUCT, [a, b] if c is None else [c, a, b], shape, sizes=sizes, contraction=flops,
            buffer=self._batched_bytes(a, b), pointwise=0 if c is None else product(shape), backward=backward,
            keeps=[(a, first + 1), (b, first)], itemsize=itemsize, note=note,
        )  # fmt: skip

    def product(self, name: str, a: Value, b: Value, itemsize: Size | None, note: str) -> Value:
        """A [...,m,k] @ b [...,k,n] without a way back."""
        *batch, m, k = a.shape
        sizes = (product(batch), m, k, b.shape[-1])
        return self.kernel(
            name, Kernel.BATCHED_PRODUCT, [a, b], (*batch, m, b.shape[-1]), sizes=sizes, contraction=2 * product(sizes),
            buffer=self._batched_bytes(a, b), itemsize=itemsize, note=note,
        )  # fmt: skip

    def swapped(self, x: Value) -> Value:
        """The last two axes exchanged: the transposed matrices."""
        order = [*range(len(x.shape) - 2), len(x.shape) - 1, len(x.shape) - 2]
        return self.transpose(x, *order)

    def _batched_bytes(self, a: Value, b: Value) -> Size:
        """One matrix at a time is copied where it cannot be read as it lies."""
        *_, m, k = a.shape
        tiny = m * k * b.shape[-1]
        if isinstance(tiny, int) and tiny < TINY_PRODUCT:
            return 0
        return sum((self._matrix_bytes(x) for x in (a, b)), start=0)

    def copy_bytes(self, *values: Value) -> Size:
        """Of copies that a kernel makes of operands that do not lie in one piece."""
        return sum((0 if x.strides is None else x.numel * self.bytes_of(x.storage.itemsize) for x in values), start=0)

    def _matrix_bytes(self, x: Value) -> Size:
        """Of a copy of one matrix of x, where it is copied."""
        if x.strides is None:
            return 0
        (rows, columns), (by_row, by_column) = x.shape[-2:], x.strides[-2:]
        if blas_reads(rows, columns, by_row, by_column):
            return 0
        return rows * columns * self.bytes_of(x.storage.itemsize)

    # --- element by element -----------------------------------------------------------------------------------------

    def unary(self, name: str, x: Value, function: str, note: str = "") -> Value:
        """One of FUNCTIONS on every element."""
        kind = FUNCTIONS[function]
        keeps_something = kind.keeps != "nothing"

        def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [kind.derivative(t, f"{name}_backward", g, kept[0] if keeps_something else None)]

        return self.kernel(
            name, Kernel.ELEMENTWISE, [x], x.shape, pointwise=kind.forward * x.numel, backward=backward,
            buffer=self._number_bytes([x]) if kind.number else 0,
            keeps=[(x, None)] if kind.keeps == "input" else [], keeps_result=kind.keeps == "result",
            itemsize=x.storage.itemsize, strides=like(x.shape, [x]), note=note or function,
        )  # fmt: skip

    def add(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """A + b, broadcast."""
        return self._between(name, [a, b], lambda t, g, kept, wanted: [g, g], (), note or "a + b")

    def in_place(
        self,
        name: str,
        a: Value,
        others: Sequence[Value],
        operations: int,
        *,
        backward: Backward,
        keeps: Sequence[tuple[Value, int | None]] = (),
        keeps_result: bool = False,
        note: str = "",
    ) -> Value:
        """An element-wise kernel written over its first operand."""
        out = Value(a.shape, a.storage, a.elements, strides=a.strides, is_view=a.is_view)
        self.launch(name, Kernel.ELEMENTWISE, [a, *others], [], into=a, pointwise=operations * a.numel, note=note)
        self.follow(name, [a, *others], [out], backward, [*keeps, *([(out, None)] if keeps_result else [])])
        return out

    def plus_into(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """A + b of equal shapes, written over a."""
        return self.in_place(name, a, [b], 1, backward=lambda t, g, kept, wanted: [g, g], note=note or "a + b")

    def into(self, name: str, x: Value, function: str, note: str = "") -> Value:
        """One of FUNCTIONS whose derivative reads its result, written over x."""
        kind = FUNCTIONS[function]
        assert kind.keeps == "result", f"{function} needs its input for the way back"

        def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [kind.derivative(t, f"{name}_backward", g, kept[0])]

        return self.in_place(name, x, [], kind.forward, backward=backward, keeps_result=True, note=note or function)

    def add_into(self, name: str, a: Value, b: Value, happens: Size = 1, note: str = "") -> Value:
        """A + b, written over a; b wants no gradient."""
        out = Value(a.shape, a.storage, a.elements, strides=a.strides)
        self.launch(
            name, Kernel.ELEMENTWISE, [a, b], [], into=a, pointwise=a.numel, happens=happens, note=note or "a + b"
        )
        self.follow(name, [a], [out], lambda t, g, kept, wanted: [g])
        return out

    def shift_into(self, name: str, x: Value, note: str = "") -> Value:
        """X plus a number, written over x."""
        out = Value(x.shape, x.storage, x.elements, strides=x.strides)
        self.launch(
            name, Kernel.ELEMENTWISE, [x], [], into=x, pointwise=x.numel, buffer=self._number_bytes([x]), note=note
        )
        self.follow(name, [x], [out], lambda t, g, kept, wanted: [g])
        return out

    def subtract(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """A − b, broadcast."""

        def derivatives(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [g, t.pointwise(f"{name}_db", [g], 1, "−g") if wanted[1] else None]

        return self._between(name, [a, b], derivatives, (), note or "a − b")

    def multiply(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """A ⊙ b, broadcast."""

        def derivatives(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            db = t.pointwise(f"{name}_db", [g, kept[0]], 1, "g ⊙ a") if wanted[1] else None
            return [t.pointwise(f"{name}_da", [g, kept[1]], 1, "g ⊙ b") if wanted[0] else None, db]

        return self._between(name, [a, b], derivatives, ((a, 1), (b, 0)), note or "a ⊙ b")

    def divide(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """A / b, broadcast."""

        def derivatives(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            db = None
            if wanted[1]:  # first, and from the right to the left, as C++ does it
                once = t.pointwise(f"{name}_db", list(kept), 1, "a / b")
                twice = t.pointwise(f"{name}_db", [once, kept[1]], 1, "(a/b)/b")
                db = t.pointwise(f"{name}_db", [t.pointwise(f"{name}_db", [g], 1, "−g"), twice], 1)
                del once, twice
            da = t.pointwise(f"{name}_da", [g, kept[1]], 1, "g / b") if wanted[0] else None
            return [da, db]

        return self._between(name, [a, b], derivatives, ((a, 1), (b, None)), note or "a / b")

    def add_product(self, name: str, a: Value, b: Value, c: Value, note: str = "") -> Value:
        """A + b ⊙ c in one kernel, broadcast: torch.addcmul."""

        def derivatives(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            found: list[Value | None] = [g, None, None]
            for i, mark in ((1, "db"), (2, "dc")):
                if wanted[i]:
                    by = f"{name}_{mark}"
                    found[i] = t.pointwise(by, [g, t.pointwise(by, [kept[i - 1]], 1, "× 1", number=True)], 1)
            return found

        return self._between(name, [a, b, c], derivatives, ((c, 1), (b, 2)), note or "a + b ⊙ c", operations=2)

    def _between(
        self,
        name: str,
        operands: Sequence[Value],
        derivatives: Backward,
        keeps: Sequence[tuple[Value, int | None]],
        note: str,
        operations: int = 1,
    ) -> Value:
        """An element-wise kernel, broadcast; the gradients are summed over the axes that were stretched."""
        shape: tuple[Size, ...] = operands[0].shape
        for value in operands[1:]:
            shape = broadcast(shape, value.shape)
        shapes = [value.shape for value in operands]

        def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
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
            return found

        return self.kernel(
            name, Kernel.ELEMENTWISE, operands, shape, pointwise=operations * product(shape), backward=backward,
            keeps=keeps, itemsize=_itemsize(operands), strides=like(shape, operands), note=note,
        )  # fmt: skip

    def compare(self, name: str, x: Value, note: str = "") -> Value:
        """X beside a number: a byte that says yes or no for each element."""
        return self.kernel(
            name, Kernel.ELEMENTWISE, [x], x.shape, pointwise=x.numel, buffer=self._number_bytes([x]), itemsize=1,
            note=note,
        )  # fmt: skip

    def choose(self, name: str, which: Value, a: Value, b: Value, note: str = "") -> Value:
        """A where `which` says so, else b, of equal shapes: torch.where. Autograd keeps `which`."""

        def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return [None, *(t._chosen(f"{name}_backward", kept[0], g) if wants else None for wants in wanted[1:])]

        return self.kernel(
            name, Kernel.ELEMENTWISE, [which, a, b], a.shape, itemsize=a.storage.itemsize, backward=backward,
            keeps=[(which, None)], note=note,
        )  # fmt: skip

    def _chosen(self, name: str, which: Value, g: Value) -> Value:
        nothing = self.kernel(name, Kernel.FILL, [], (), itemsize=g.storage.itemsize, note="0")
        return self.kernel(name, Kernel.ELEMENTWISE, [which, g, nothing], g.shape, itemsize=g.storage.itemsize)

    # --- rows -------------------------------------------------------------------------------------------------------

    def reduced(self, name: str, x: Value, shape: Sequence[Size], note: str = "Σ", *, happens: Size = 1) -> Value:
        """X summed down to a shape that it was broadcast from; without a way back."""
        out = self.new(name, shape, x.storage.itemsize)
        sizes = (out.elements, _ratio(x.numel, out.elements))
        self.launch(name, Kernel.REDUCTION, [x], [out], sizes=sizes, pointwise=x.numel, happens=happens, note=note)
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

        def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            strides = contiguous_strides(stretched)
            wide = tuple(0 if i in over else stride for i, stride in enumerate(strides))
            shown = Value(whole, g.storage, g.elements, strides=wide, is_view=True)
            return [t.pointwise(f"{name}_backward", [shown], 1, "g / n", number=True) if mean else shown]

        out = self.new(name, shape, x.storage.itemsize)
        sizes = (out.elements, _ratio(x.numel, out.elements))
        self.launch(name, Kernel.REDUCTION, [x], [out], sizes=sizes, pointwise=x.numel, note=note)
        self.follow(name, [x], [out], backward)
        return out

    def largest(self, name: str, x: Value, note: str = "") -> Value:
        """Greatest number of each row, its axis kept; without a way back."""
        return self.kernel(
            name, Kernel.REDUCTION, [x], (*x.shape[:-1], ONE), sizes=_rows(x), pointwise=x.numel,
            itemsize=x.storage.itemsize, note=note or "greatest",
        )  # fmt: skip

    def cumsum(self, name: str, x: Value, axis: int = -1, note: str = "") -> Value:
        """Running sum; backward it runs from the other end."""
        length = x.shape[axis]
        sizes = (_ratio(x.numel, length), length)

        def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            if isinstance(length, int) and length == 1:
                return [g]
            size = g.storage.itemsize
            happens = 1 if isinstance(length, int) else where(length > 1, 1, 0)  # a sum of one element is itself
            turned = t.flip(f"{name}_backward", t.detach(g), happens=happens)
            summed = t.kernel(
                f"{name}_backward", Kernel.SCAN, [turned], g.shape, sizes=sizes, pointwise=turned.numel, itemsize=size,
                happens=happens,
            )  # fmt: skip
            return [t.flip(f"{name}_backward", summed, "and back", happens=happens)]  # the others are there until here

        return self.kernel(
            name, Kernel.SCAN, [x], x.shape, sizes=sizes, pointwise=x.numel, itemsize=x.storage.itemsize,
            backward=backward, note=note or "running sum",
        )  # fmt: skip

    def softmax(self, name: str, x: Value, note: str = "") -> Value:
        """Over the last axis."""
        sizes = _rows(x)

        def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            (y,) = kept
            return [
                t.kernel(
                    f"{name}_backward", Kernel.SOFTMAX, [g, y], y.shape, sizes=sizes, itemsize=y.storage.itemsize,
                    pointwise=pointwise.SOFTMAX_BACKWARD * y.numel, buffer=t.copy_bytes(g, y), note="a (g − Σ g a)",
                )
            ]  # fmt: skip

        return self.kernel(
            name, Kernel.SOFTMAX, [x], x.shape, sizes=sizes, pointwise=pointwise.SOFTMAX * x.numel, keeps_result=True,
            buffer=self.copy_bytes(x), itemsize=x.storage.itemsize, backward=backward, note=note or "softmax",
        )  # fmt: skip


def _itemsize(values: Sequence[Value]) -> Size | None:
    """Of a result: that of the first operand whose numbers are not of the working dtype."""
    return next((v.storage.itemsize for v in values if v.storage.itemsize is not None), None)


def _rows(x: Value) -> tuple[Size, Size]:
    return product(x.shape[:-1]), x.shape[-1]


def _ratio(whole: Size, parts: Size) -> Size:
    return whole // parts if isinstance(whole, int) and isinstance(parts, int) and parts else whole / parts
