"""A tape of operators: the program of a layer, written once, from which all its costs are read.

A `Program` writes down what its layer executes, tensor by tensor, as one would write the layer itself. The tape then
knows the operators of the forward pass and their traffic; those of the backward pass, because each kind of operator has
a known derivative, gradients that meet are added, and what needs no gradient gets none; what autograd keeps, because
each kind keeps known operands and storages are counted once; and the longest chain of dependent operators.

    class LinearAttention(Program):
        def program(self, t, x):
            q = t.unary("feature_query", t.linear("query", x, self.H * self.K), "elu")
            ...

A loop over n chunks is written as `for _ in t.loop(n)`. The tape runs the program with 1 to 5 turns and lays a line
through what each operator costs; the costs of such loops are linear in n, from the first turn on, from the second (the
first turn's state needs no gradient, the last turn's state is not read) or from the third (where both matter).

Not covered: operators that work in place; gradients of gradients.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from seqcost.algebra import Size
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.values import (
    FUNCTIONS,
    ONE,
    Backward,
    Node,
    Storage,
    Value,
    broadcast,
    product,
    same,
)
from seqcost.formulas.core.workload import Workload

TURNS = (1, 2, 3, 4, 5)  # of a loop: two to draw a line from the third on, one to check it, the first for themselves
FAR = (30, 31)  # where the chain of dependent operators goes through the loop, if it ever does


@dataclass
class Tape:
    """What a program writes on. `run` is what is asked of it; `turns` is how often its loops turn this time."""

    run: Workload
    turns: int | None = None
    operators: list[Operator] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    trips: Size = None  # n of the program's loops

    # --- leaves -----------------------------------------------------------------------------------------------------

    def given(self, shape: Sequence[Size], *, belongs: str = "input", gradient: bool = True) -> Value:
        """A tensor that is handed in."""
        storage = Storage(belongs, product(shape), belongs=belongs)
        return Value(tuple(shape), storage, storage.elements, gradient, depth=0)

    def weight(self, *shape: Size) -> Value:
        """A parameter."""
        storage = Storage("weight", product(shape), belongs="weight")
        return Value(shape, storage, storage.elements, True)

    def buffer(self, *shape: Size, itemsize: Size | None = None) -> Value:
        """A tensor that the layer holds and that is not trained."""
        storage = Storage("buffer", product(shape), itemsize, belongs="weight")
        return Value(shape, storage, storage.elements, False)

    def constant(self, name: str, *shape: Size, itemsize: Size | None = None, fills: int = 1) -> Value:
        """A tensor made on the way from nothing: zeros, a mask; written `fills` times (0: by no operator)."""
        storage = Storage(name, product(shape), itemsize)
        out = Value(shape, storage, storage.elements, False)
        for i in range(fills):
            self._write(name, [out] if i else [], [out], contraction=0, pointwise=0, note="")
        return out

    def state(self, name: str, *shape: Size, itemsize: Size | None = None) -> Value:
        """What is carried in: handed in where the run has started, else zeros."""
        if not self.run.started:
            return self.constant(name, *shape, itemsize=itemsize)
        storage = Storage(name, product(shape), itemsize, belongs="input")
        return Value(shape, storage, storage.elements, False, depth=None if self.run.later else 0)

    # --- any operator -----------------------------------------------------------------------------------------------

    def operator(
        self,
        name: str,
        inputs: Sequence[Value],
        *shapes: Sequence[Size],
        contraction: Size = 0,
        pointwise: Size = 0,
        backward: Backward | None = None,
        keeps: Sequence[tuple[Value, int | None]] = (),
        keeps_result: bool = False,
        itemsize: Size | None = None,
        reads: Sequence[Size] | None = None,
        note: str = "",
    ) -> Value:
        """One kernel: from `inputs` to the (first) result. The other methods are this one with the details filled in.

        Parameters
        ----------
        shapes
            Of the results; further ones are written and dropped.
        backward
            From "which inputs want a gradient" to the operators that make them; None where no gradient flows.
        keeps
            Values that autograd keeps, each with the index of the input whose gradient needs it (None: any).
        reads
            Elements read of each input, where it is not all of them.

        """
        flows = backward is not None and any(v.needs_gradient for v in inputs)
        results = [self._new(name, shape, flows, itemsize) for shape in shapes]
        self._write(name, inputs, results, contraction=contraction, pointwise=pointwise, note=note, reads=reads)
        if flows:
            assert backward is not None
            self.nodes.append(Node(tuple(inputs), (results[0],), backward))
            for value, reason in keeps:
                if reason is None or inputs[reason].needs_gradient:
                    self.keep(value)
            if keeps_result:
                self.keep(results[0])
        return results[0]

    def keep(self, value: Value) -> None:
        """Autograd keeps the value's memory for the way back through the last operator."""
        self.nodes[-1].keeps.append(value.storage)

    def keep_besides(self, name: str, elements: Size, itemsize: Size | None = None) -> None:
        """Autograd keeps what the last operator wrote besides its result."""
        self.nodes[-1].keeps.append(Storage(name, elements, itemsize))

    def _new(self, name: str, shape: Sequence[Size], flows: bool, itemsize: Size | None) -> Value:
        storage = Storage(name, product(shape), itemsize)
        return Value(tuple(shape), storage, storage.elements, flows)

    def _write(
        self,
        name: str,
        inputs: Sequence[Value],
        results: Sequence[Value],
        *,
        contraction: Size,
        pointwise: Size,
        note: str,
        reads: Sequence[Size] | None = None,
    ) -> None:
        read: Size = 0
        other: Size = 0
        seen: list[Value] = []
        for i, value in enumerate(inputs):
            if any(value is v for v in seen):
                continue
            seen.append(value)
            elements = value.elements if reads is None else reads[i]
            if value.storage.itemsize is None:
                read = read + elements
            else:
                other = other + elements * value.storage.itemsize
        written: Size = 0
        for value in results:
            if value.storage.itemsize is None:
                written = written + value.elements
            else:
                other = other + value.elements * value.storage.itemsize
        self.operators.append(
            Operator(
                name=name,
                contraction=contraction,
                pointwise=pointwise,
                reads=read,
                writes=written,
                other_bytes=other,
                steps=0,
                note=note,
            )
        )
        before = [v for v in inputs if v.depth is not None]
        if before:
            last = max(before, key=lambda v: v.depth or 0)
            for value in results:
                value.depth, value.chain = (last.depth or 0) + 1, (*last.chain, name)

    # --- products ---------------------------------------------------------------------------------------------------

    def linear(self, name: str, x: Value, n_out: Size, *, bias: bool = True, note: str = "") -> Value:
        """X W + b over the last axis: nn.Linear on a contiguous x."""
        *front, n_in = x.shape
        rows = product(front)
        weight = self.weight(n_in, n_out)
        inputs = [x, weight, self.weight(n_out)] if bias else [x, weight]

        def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
            if wanted[0]:
                yield Operator(name=f"{name}_dx", contraction=2 * rows * n_out * n_in, note="g Wᵀ")
            yield Operator(name=f"{name}_dw", contraction=2 * n_out * rows * n_in, note="gᵀ x")
            if bias:
                yield Operator(name=f"{name}_db", pointwise=rows * n_out, note="Σ g")

        return self.operator(
            name, inputs, (*front, n_out),
            contraction=2 * rows * n_in * n_out, pointwise=rows * n_out if bias else 0,
            backward=backward, keeps=[(x, 1)], note=note or "x W + b" if bias else note or "x W",
        )  # fmt: skip

    def matmul(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """A [...,m,k] @ b [...,k,n] over equal batch axes, transposed views included: torch.bmm."""
        *batch, m, k = a.shape
        n = b.shape[-1]
        flops = 2 * product(batch) * m * k * n

        def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
            if wanted[0]:
                yield Operator(name=f"{name}_da", contraction=flops, note="g bᵀ")
            if wanted[1]:
                yield Operator(name=f"{name}_db", contraction=flops, note="aᵀ g")

        return self.operator(
            name, [a, b], (*batch, m, n), contraction=flops, backward=backward, keeps=[(b, 0), (a, 1)],
            itemsize=a.storage.itemsize, note=note or "[m,k] @ [k,n]",
        )  # fmt: skip

    def add_matmul(self, name: str, c: Value, a: Value, b: Value, note: str = "") -> Value:
        """C + a @ b in one kernel, c broadcast: torch.baddbmm."""
        *batch, m, k = a.shape
        n = b.shape[-1]
        flops = 2 * product(batch) * m * k * n

        def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
            if wanted[0] and not same(c.shape, (*batch, m, n)):
                yield Operator(name=f"{name}_dc", pointwise=product(batch) * m * n, note="Σ g")
            if wanted[1]:
                yield Operator(name=f"{name}_da", contraction=flops, note="g bᵀ")
            if wanted[2]:
                yield Operator(name=f"{name}_db", contraction=flops, note="aᵀ g")

        return self.operator(
            name, [c, a, b], (*batch, m, n), contraction=flops, pointwise=product(batch) * m * n,
            backward=backward, keeps=[(b, 1), (a, 2)], itemsize=a.storage.itemsize, note=note or "c + [m,k] @ [k,n]",
        )  # fmt: skip

    # --- element by element -----------------------------------------------------------------------------------------

    def unary(self, name: str, x: Value, function: str, note: str = "") -> Value:
        """One of FUNCTIONS on every element."""
        kind, n = FUNCTIONS[function], x.numel

        def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
            if kind.backward:
                yield Operator(name=f"{name}_backward", pointwise=kind.backward * n)

        return self.operator(
            name, [x], x.shape, pointwise=kind.forward * n, backward=backward,
            keeps=[(x, None)] if kind.keeps == "input" else [], keeps_result=kind.keeps == "result",
            itemsize=x.storage.itemsize, note=note or function,
        )  # fmt: skip

    def add(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """A + b, broadcast."""
        return self._pairwise(name, a, b, costs=(0, 0), keeps=(), note=note or "a + b")

    def subtract(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """A − b, broadcast."""
        return self._pairwise(name, a, b, costs=(0, 1), keeps=(), note=note or "a − b")

    def multiply(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """A ⊙ b, broadcast."""
        return self._pairwise(name, a, b, costs=(1, 1), keeps=((1, 0), (0, 1)), note=note or "a ⊙ b")

    def divide(self, name: str, a: Value, b: Value, note: str = "") -> Value:
        """A / b, broadcast."""
        # da = g/b; db = −g · (a/b)/b
        return self._pairwise(name, a, b, costs=(1, 4), keeps=((1, None), (0, 1)), note=note or "a / b")

    def _pairwise(
        self,
        name: str,
        a: Value,
        b: Value,
        *,
        costs: tuple[int, int],
        keeps: Sequence[tuple[int, int | None]],
        note: str,
    ) -> Value:
        shape = broadcast(a.shape, b.shape)
        n = product(shape)

        def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
            for value, want, cost, mark in ((a, wanted[0], costs[0], "da"), (b, wanted[1], costs[1], "db")):
                operations = cost + (not same(value.shape, shape))  # summed over the axes that were stretched
                if want and operations:
                    yield Operator(name=f"{name}_{mark}", pointwise=operations * n)

        reasons = [((a, b)[which], reason) for which, reason in keeps]
        itemsize = a.storage.itemsize if a.storage.itemsize is not None else b.storage.itemsize
        return self.operator(
            name, [a, b], shape, pointwise=n, backward=backward, keeps=reasons, itemsize=itemsize, note=note
        )

    # --- rows -------------------------------------------------------------------------------------------------------

    def sum(self, name: str, x: Value, *axes: int, keep: bool = False, note: str = "") -> Value:
        """Sum over axes; its gradient is only expanded."""
        return self._reduced(name, x, axes, keep=keep, backward=0, note=note or "Σ")

    def mean(self, name: str, x: Value, *axes: int, keep: bool = False, note: str = "") -> Value:
        """Mean over axes."""
        return self._reduced(name, x, axes, keep=keep, backward=1, note=note or "mean")

    def _reduced(self, name: str, x: Value, axes: Sequence[int], *, keep: bool, backward: int, note: str) -> Value:
        over = {axis % len(x.shape) for axis in axes}
        shape = [ONE if i in over else size for i, size in enumerate(x.shape) if keep or i not in over]
        n = x.numel

        def back(wanted: Sequence[bool]) -> Iterator[Operator]:
            if backward:
                yield Operator(name=f"{name}_backward", pointwise=backward * n)

        return self.operator(name, [x], shape, pointwise=n, backward=back, itemsize=x.storage.itemsize, note=note)

    def cumsum(self, name: str, x: Value, note: str = "") -> Value:
        """Running sum; backward it runs from the other end."""
        n = x.numel
        return self.operator(
            name, [x], x.shape, pointwise=n, itemsize=x.storage.itemsize, note=note or "running sum",
            backward=lambda _: [Operator(name=f"{name}_backward", pointwise=n)],
        )  # fmt: skip

    def softmax(self, name: str, x: Value, note: str = "") -> Value:
        """Over the last axis."""
        n = x.numel
        return self.operator(
            name, [x], x.shape, pointwise=pointwise.SOFTMAX * n, keeps_result=True,
            itemsize=x.storage.itemsize, note=note or "softmax",
            backward=lambda _: [Operator(name=f"{name}_backward", pointwise=pointwise.SOFTMAX_BACKWARD * n)],
        )  # fmt: skip

    # --- layout -----------------------------------------------------------------------------------------------------

    def view(self, x: Value, *shape: Size) -> Value:
        """Another shape, or another order of axes, of the same memory: no operator."""
        out = Value(shape, x.storage, x.elements, x.needs_gradient, x.depth, x.chain)
        if x.needs_gradient:
            self.nodes.append(Node((x,), (out,), lambda _: ()))
        return out

    def expand(self, name: str, x: Value, *shape: Size) -> Value:
        """Axes of 1 shown larger without a copy; the gradient is summed over them."""
        out = Value(shape, x.storage, x.elements, x.needs_gradient, x.depth, x.chain)
        if x.needs_gradient:
            n = out.numel
            self.nodes.append(Node((x,), (out,), lambda _: [Operator(name=f"{name}_sum", pointwise=n)]))
        return out

    def part(self, x: Value, *shape: Size) -> Value:
        """A slice: a view of some of the elements; backward it is put into zeros."""
        out = Value(shape, x.storage, product(shape), x.needs_gradient, x.depth, x.chain)
        if x.needs_gradient:
            self.nodes.append(Node((x,), (out,), lambda _: ()))
        return out

    def parts(self, x: Value, *shapes: Sequence[Size]) -> list[Value]:
        """All pieces at once (split, chunk, unbind): their gradients return as one."""
        outs = [Value(tuple(shape), x.storage, product(shape), x.needs_gradient, x.depth, x.chain) for shape in shapes]
        if x.needs_gradient:
            self.nodes.append(Node((x,), tuple(outs), lambda _: ()))
        return outs

    def detach(self, x: Value) -> Value:
        """The same memory, without a gradient."""
        return Value(x.shape, x.storage, x.elements, False, x.depth, x.chain)

    def moved(
        self,
        name: str,
        inputs: Sequence[Value],
        *shape: Size,
        itemsize: Size | None = None,
        reads: Sequence[Size] | None = None,
        note: str = "",
    ) -> Value:
        """Elements moved and not changed (copy, pad, cat, stack, flip, look-up); backward they are moved back."""
        inherited = itemsize if itemsize is not None else inputs[0].storage.itemsize
        return self.operator(name, inputs, shape, backward=lambda _: (), itemsize=inherited, reads=reads, note=note)

    def float32(self, name: str, x: Value) -> Value:
        """In float32 where the working dtype is narrower; else x itself."""
        if not self.narrow or x.storage.itemsize is not None:
            return x
        return self.operator(name, [x], x.shape, backward=lambda _: (), itemsize=4, note="to float32")

    def working(self, name: str, x: Value) -> Value:
        """Back in the working dtype after `float32`."""
        if not self.narrow or x.storage.itemsize is None:
            return x
        return self.operator(name, [x], x.shape, backward=lambda _: (), note="from float32")

    @property
    def narrow(self) -> bool:
        """Whether the working dtype has fewer bytes than float32."""
        return isinstance(self.run.itemsize, int) and self.run.itemsize < 4

    @property
    def wide(self) -> int | None:
        """Item size of what is computed in float32 at least: None where the working dtype is wide enough."""
        return 4 if self.narrow else None

    # --- loops ------------------------------------------------------------------------------------------------------

    def loop(self, n: Size) -> Iterator[int]:
        """`for _ in t.loop(n)`: n ≥ 1 turns. Every loop of a program has the same n."""
        if self.trips is not None:
            assert same((n,), (self.trips,)), f"loops of {n} and {self.trips} turns in one program"
        self.trips = n
        if self.turns is not None:
            return iter(range(self.turns))
        return iter(range(n if isinstance(n, int) and n <= TURNS[-1] else TURNS[0]))

    def every(self, x: Value, n: Size, *shape: Size) -> list[Value]:
        """X unbound into the n pieces over which a loop turns; used in order, one a turn."""
        self.trips = n if self.trips is None else self.trips
        count = self.turns if self.turns is not None else (n if isinstance(n, int) and n <= TURNS[-1] else TURNS[0])
        return self.parts(x, *[shape] * count)

    def stack(self, name: str, pieces: Sequence[Value], n: Size, *, axis: int = 1, note: str = "") -> Value:
        """The n results of a loop copied into one tensor; `pieces` are those of this time's turns."""
        one = list(pieces[0].shape)
        shape = (*one[:axis], n, *one[axis:])
        return self.moved(name, pieces, *shape, note=note or "stacked")

    # --- readings ---------------------------------------------------------------------------------------------------

    def kept(self, y: Iterable[Value]) -> list[Storage]:
        """What autograd still keeps at the end: nothing for a result that is dropped, such as the last state."""
        reached = {id(v) for v in y}
        nodes = []
        for node in reversed(self.nodes):
            if any(id(v) in reached for v in node.outputs):
                nodes.append(node)
                reached |= {id(v) for v in node.inputs}
        return list(dict.fromkeys(storage for node in reversed(nodes) for storage in node.keeps))

    def backward(self, y: Iterable[Value]) -> list[Operator]:
        """Operators from the gradients of the results down to those of the inputs."""
        meeting: dict[int, int] = {id(v): 1 for v in y}
        out: list[Operator] = []
        for node in reversed(self.nodes):
            if not any(id(v) in meeting for v in node.outputs):
                continue
            out += [_sum_of_gradients(v, meeting[id(v)]) for v in node.outputs if meeting.get(id(v), 0) > 1]
            wanted = [v.needs_gradient for v in node.inputs]
            out += node.backward(wanted)
            for value in node.inputs:
                if value.needs_gradient:
                    meeting[id(value)] = meeting.get(id(value), 0) + 1
        made = {id(v) for node in self.nodes for v in node.outputs}
        leaves = {id(v): v for node in self.nodes for v in node.inputs if id(v) not in made}
        out += [_sum_of_gradients(v, meeting[key]) for key, v in leaves.items() if meeting.get(key, 0) > 1]
        return out


def _sum_of_gradients(value: Value, ways: int) -> Operator:
    return Operator(name="sum", pointwise=(ways - 1) * value.numel, note="gradients that meet")
