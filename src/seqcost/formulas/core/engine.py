"""The way back through a tape's graph, as PyTorch's engine takes it (torch/csrc/autograd/engine.cpp, input_buffer.cpp).

Nodes run from the last made to the first, each when all gradients of its results have arrived. Gradients that meet
are added, in place where nobody else holds the first of them. One of another width than its tensor is cast to that.
What a node kept goes when it has run, and so do gradients that were added to others. So order, launches and memory of
a backward pass follow from the derivatives.
"""

import sys

from seqcost.algebra import Size
from seqcost.algebra.peak import GRADIENTS
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.layout import is_dense, like, preserved
from seqcost.formulas.core.recorder import Recorder, reached
from seqcost.formulas.core.values import Node, Value


class Engine:
    """One backward pass. The gradients of the leaves stay until it is gone."""

    def __init__(self, t: Recorder, *, settles: bool = True) -> None:
        self._t = t
        self._settles = settles  # whether gradients become those of the leaves; else they are handed out as they are
        self._waiting: dict[int, int] = {}  # node → gradients still to come
        self._arrived: dict[int, list[Value | None]] = {}

    def run(self, y: Value, gradient: Value) -> None:
        """From the gradient of y down to those of the leaves."""
        nodes = reached([y])
        assert nodes, "no gradient flows back from the result"
        self._waiting = {id(node): 0 for node in nodes}
        for node in nodes:
            for edge in node.inputs:
                if edge is not None:
                    self._waiting[id(edge[0])] += 1
        self._collect(nodes[-1], y.output, [gradient], 0)
        del y, gradient
        if self._settles:
            self._t.memory.settle()
        with self._t.backwards():
            while nodes:
                node = nodes.pop()
                if node.backward is not None:
                    self._t.go_to(node)
                    self._hand_on(node.inputs, self._gradients(node))

    def gradient_of(self, leaf: Value) -> Value | None:
        """What has arrived at a leaf."""
        return self._arrived.get(id(leaf.node), [None])[0]

    def _gradients(self, node: Node) -> list[Value | None]:
        """Run a node, which then lets go of what it kept."""
        arrived = self._arrived.pop(id(node), None)
        if arrived is None:
            found: list[Value | None] = [None] * len(node.inputs)
        else:
            wanted = [edge is not None for edge in node.inputs]
            assert node.backward is not None
            found = list(node.backward(self._t, arrived.pop(0) if node.single else arrived, node.kept, wanted))
            self._as_wide(node, found)
        node.kept, node.backward = (), None
        return found

    def _as_wide(self, node: Node, found: list[Value | None]) -> None:
        """Each gradient becomes as wide as what it is the gradient of (engine.cpp `validate_outputs`)."""
        for i, itemsize in enumerate(node.itemsizes):
            one = found[i]
            if one is None or node.inputs[i] is None or self._is_as_wide(one, itemsize):
                continue
            found[i] = self._t.kernel(
                f"{node.name}_backward", Kernel.COPY, [one], one.shape, operator="_to_copy", itemsize=itemsize,
                strides=preserved(one), note="as wide as what it is the gradient of",
            )  # fmt: skip

    def _is_as_wide(self, value: Value, itemsize: Size | None) -> bool:
        return bool(self._t.bytes_of(value.storage.itemsize) == self._t.bytes_of(itemsize))

    def _hand_on(self, edges: tuple[tuple[Node, int] | None, ...], found: list[Value | None]) -> None:
        for i, edge in enumerate(edges):
            if edge is None:
                continue
            target, place = edge
            self._waiting[id(target)] -= 1
            if found[i] is not None:
                self._collect(target, place, found, i)
            if (
                self._settles
                and target.backward is None
                and not self._waiting[id(target)]
                and id(target) in self._arrived
            ):
                self._settle(self._arrived[id(target)])

    def _collect(self, target: Node, place: int, found: list[Value | None], i: int) -> None:
        """Put a gradient with those that have arrived; one that is added to another stays until all are handed on."""
        there = self._arrived.setdefault(id(target), [None] * max(1, len(target.shapes)))
        if there[place] is None:
            there[place], found[i] = found[i], None
            return
        old, there[place] = there[place], None
        given = found[i]
        assert old is not None
        assert given is not None
        n = old.numel
        if _alone(old):
            self._t.launch(
                "sum", Kernel.ELEMENTWISE, [old, given], [], operator="add", into=old, pointwise=n,
                note="gradients that meet",
            )  # fmt: skip
        else:
            total = self._t.new("sum", old.shape, old.storage.itemsize)
            total.strides = like(old.shape, [old, given])
            self._t.launch(
                "sum", Kernel.ELEMENTWISE, [old, given], [total], operator="add", pointwise=n,
                note="gradients that meet",
            )  # fmt: skip
            old = total
        there[place] = old

    def _settle(self, gradients: list[Value | None]) -> None:
        """The gradient of a leaf is there: one that does not lie as its leaf does is copied."""
        found, gradients[0] = gradients[0], None
        assert found is not None
        if not found.in_one_piece:
            with self._t.apart("loss"):
                copied = self._t.new("gradient", found.shape, found.storage.itemsize)
                self._t.launch(
                    "gradient", Kernel.FILL, [], [copied], operator="new_empty_strided", writes=0,
                    note="memory of the leaf's layout",
                )  # fmt: skip
                self._t.launch(
                    "gradient", Kernel.COPY, [found, copied], [], operator="copy", into=copied,
                    reads=[found.elements, 0], note="the gradient as its leaf lies",
                )  # fmt: skip
            found = copied
        found.storage.mark.turns_out(GRADIENTS)
        gradients[0] = found


def _alone(value: Value) -> bool:
    """Whether nobody but the caller holds a gradient and its memory, so that another can be added into it."""
    if value.is_view or not is_dense(value):
        return False
    # one reference each from the caller's variable, this function's and getrefcount's argument
    return sys.getrefcount(value) == 3 and sys.getrefcount(value.storage) == 2
