"""What stands behind a tape: rows of work, memory, the graph of gradients, and the turns of loops."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.peak import SAVED
from seqcost.algebra.work import Direction, Kernel, Row, joined
from seqcost.formulas.core.chain import Step, after, latest
from seqcost.formulas.core.comparing import apart, equal
from seqcost.formulas.core.loops import Loop, Turn
from seqcost.formulas.core.memory import Memory
from seqcost.formulas.core.traffic import fresh_bytes, moved_bytes
from seqcost.formulas.core.values import Backward, Node, Storage, Value, product
from seqcost.formulas.core.workload import Workload

# Turns that are passed one by one before and after the one that stands for all others. The first knows no earlier
# state, or needs no gradient of it; the last one's state may be read by nobody. Backward, the gradient of a weight is
# there after the last turn, added into new memory in the one before, and in place from then on.
ENDS = {"loop": (2, 3), "layers": (1, 1)}
RESIDENT = {"weight": "parameters", "state": "state"}  # what a tensor belongs to → its category; else "inputs"


class Recorder:
    """Rows, memory and graph of one run of a program."""

    def __init__(
        self,
        run: Workload,
        *,
        recording: bool = True,
        remembering: bool = False,
        counting: bool = True,
        purposes: Sequence[str] | None = None,
        apart: bool = False,
    ) -> None:
        self.run = run
        self.recording = recording  # whether operators are followed, so that gradients can be asked for
        self.training = recording  # whether gradients of weights will be asked for
        self.rows: list[tuple[Row, tuple[Turn, ...]]] = []
        self.counting = counting  # whether rows are written; else the chain of operators is followed alone
        self.memory, self.remembering = Memory(purposes, apart=apart), remembering
        self.last: Step | None = None  # of the longest chain
        self.residents: list[tuple[str, Size]] = []  # what is there before and after the run: its category, its bytes
        self.counts: list[Size] = []  # of turns, that are no numbers
        self.forced: dict[int, int] = {}  # how often such a loop turns this time, by its place among those
        self._path, self._direction = "", Direction.FORWARD
        self._turns: tuple[Turn, ...] = ()
        self._made = 0
        self._noted: list[Value] | None = None
        self._reused: Iterator[Value] | None = None

    # --- places -----------------------------------------------------------------------------------------------------

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        """What is written inside stands below a name."""
        outer, self._path = self._path, joined(self._path, name)
        try:
            yield
        finally:
            self._path = outer

    @contextmanager
    def apart(self, path: str) -> Iterator[None]:
        """What is written inside stands at a place of its own."""
        outer, self._path = self._path, path
        try:
            yield
        finally:
            self._path = outer

    def loop(self, n: Size) -> Iterator[int]:
        """`for _ in t.loop(n)`: n ≥ 1 turns, of which those in the middle are alike."""
        return self._turning(n, ENDS["loop"])

    def layers(self, n: Size, *, reading: Value | None = None) -> Iterator[int]:
        """`for _ in t.layers(n)`: n ≥ 1 equal layers in series; what all are `reading` gets a gradient of each."""
        shares = self.recording and reading is not None and reading.needs_gradient
        return self._turning(n, ENDS["loop" if shares else "layers"])

    def _turning(self, n: Size, ends: tuple[int, int]) -> Iterator[int]:
        asked = self._as_asked(n)
        loop = Loop(asked, None if isinstance(n, int) else self._place(n))
        loop.turns = tuple(Turn(loop, i, weight) for i, weight in enumerate(self.weights(asked, ends)))
        for turn in loop.turns:
            self._enter(turn)
            yield turn.index
            self._leave()

    def _as_asked(self, n: Size) -> Size:
        """How often a loop turns this time: n, or a number in its place."""
        if isinstance(n, int):
            return n
        for place, turns in self.forced.items():
            more = apart(n, self.counts[place])  # C − 1 turns beside C of them
            if more is not None:
                return max(0, turns + more)
        return n

    def _place(self, n: Size) -> int:
        """Where a number of turns that is a formula stands among those that there are."""
        for place, count in enumerate(self.counts):
            if equal(n, count):
                return place
        self.counts.append(n)
        return len(self.counts) - 1

    def weights(self, n: Size, ends: tuple[int, int] = ENDS["loop"]) -> list[Size]:
        """How many turns each turn stands for that is passed in a loop of n."""
        n = self._as_asked(n)
        if isinstance(n, int) and n <= sum(ends) + 1:
            return [1] * n
        return [1] * ends[0] + [n - sum(ends)] + [1] * ends[1]

    def _enter(self, turn: Turn) -> None:
        self._turns = (*self._turns, turn)
        self.memory.enter(turn)

    def _leave(self) -> None:
        self._turns = self._turns[:-1]
        self.memory.leave()

    # --- tensors ----------------------------------------------------------------------------------------------------

    def resident(
        self,
        name: str,
        shape: Sequence[Size],
        *,
        belongs: str,
        itemsize: Size | None = None,
        flows: bool,
        on_chain: bool,
    ) -> Value:
        """A tensor that is there before and after the run: an input, a weight, a buffer, the carried state."""
        if belongs == "weight" and self._reused is not None:
            return next(self._reused)
        step = Step(0, None) if on_chain else None
        storage = Storage(name, product(shape), itemsize, belongs=belongs, step=step)
        num_bytes = storage.elements * self.bytes_of(itemsize)
        for turn in self._turns:  # the weights of each of the equal layers
            num_bytes = num_bytes * turn.weight
        category = "buffers" if belongs == "weight" and not flows else RESIDENT.get(belongs, "inputs")
        self.residents.append((category, num_bytes))
        value = Value(tuple(shape), storage, self.leaf(name) if flows else None)
        if belongs == "weight" and self._noted is not None:
            self._noted.append(value)
        return value

    def leaf(self, name: str) -> Node | None:
        """Where the gradient of a tensor arrives that was made of no other; none where none is asked for."""
        return self._node(name, ()) if self.training else None

    @contextmanager
    def unfollowed_by_gradients(self, weights: list[Value]) -> Iterator[None]:
        """Inside nothing is followed back, as under torch.no_grad; the weights that are read are noted."""
        outer, self.recording, self._noted = self.recording, False, weights
        try:
            yield
        finally:
            self.recording, self._noted = outer, None

    @contextmanager
    def once_more(self, weights: Sequence[Value]) -> Iterator[None]:
        """Inside a program runs again, over the same weights, in the order in which it read them, and is followed."""
        outer, self.recording, self._reused = self.recording, True, iter(weights)
        since = len(self.memory.marks)
        try:
            yield
        finally:
            self.recording, self._reused = outer, None
            self.memory.settle(since)

    def new(self, name: str, shape: Sequence[Size], itemsize: Size | None = None) -> Value:
        """Memory for a result."""
        elements = product(shape)
        num_bytes = elements * self.bytes_of(itemsize) if self.remembering else 0
        storage = Storage(
            joined(self._path, name), elements, itemsize, num_bytes=num_bytes, memory=self.memory,
            turns=self._turns,
        )  # fmt: skip
        self.memory.come(storage, tuple(shape), self.bytes_of(itemsize))
        return Value(tuple(shape), storage)

    def bytes_of(self, itemsize: Size | None) -> Size:
        """Of an element: the working dtype's where nothing else is said."""
        return self.run.itemsize if itemsize is None else itemsize

    # --- kernels ----------------------------------------------------------------------------------------------------

    def launch(
        self,
        name: str,
        kernel: Kernel,
        inputs: Sequence[Value],
        results: Sequence[Value],
        *,
        operator: str,
        sizes: tuple[Size, ...] = (),
        contraction: Size = 0,
        pointwise: Size = 0,
        reads: Sequence[Size] | None = None,
        steps: Size = 1,
        buffer: Size = 0,
        into: Value | None = None,
        writes: Size | None = None,
        happens: Size = 1,
        note: str = "",
    ) -> None:
        """One kernel: reads `inputs`, writes `results` (and `into`, one of the inputs, in place).

        `operator` is PyTorch's, as in a row of work. `reads` are the elements read of each input, `writes` those that
        are written, where it is not all of them; `buffer` the bytes that the kernel holds besides its tensors;
        `happens` is 0 where the sizes leave the kernel out.
        """
        moved = moved_bytes(self.bytes_of, inputs, results, reads, into, writes) if self.counting else 0
        fresh = fresh_bytes(self.bytes_of, results) if self.counting else 0
        if not (isinstance(happens, int) and happens == 1):
            contraction, pointwise, moved = contraction * happens, pointwise * happens, moved * happens
            steps, fresh = steps * happens, fresh * happens
        if self.counting:
            written = results[0] if results else into if into is not None else inputs[0]
            row = Row(
                name=name, path=self._path, direction=self._direction, kernel=kernel, operator=operator,
                sizes=sizes or (written.numel,), launches=happens, contraction=contraction, pointwise=pointwise,
                bytes=moved, fresh=fresh, itemsize=self.bytes_of(written.storage.itemsize), note=note,
            )  # fmt: skip
            self.rows.append((row, self._turns))
        if self.remembering:
            self.memory.look(buffer, (self._direction, self._path, name))
        before = latest(v.storage.mark.step for v in inputs)
        if before is None:
            return
        step = after(before, (self._direction, self._path, name), steps)
        for value in results:
            value.storage.mark.step = step
        if into is not None:
            mark = into.storage.mark
            for passage in self.memory.passages[-1:]:
                passage.written.setdefault(mark, mark.step)
            mark.step = latest((mark.step, step))
        self.last = latest((self.last, step))

    def line(self, name: str, kernel: Kernel, operator: str, sizes: tuple[Size, ...], **amounts: Any) -> None:
        """A further line of the paper that the kernel before has computed: no launch, no traffic of its own."""
        row = Row(
            name=name, path=self._path, direction=self._direction, kernel=kernel, operator=operator, sizes=sizes,
            launches=0, itemsize=self.run.itemsize, **amounts,
        )  # fmt: skip
        self.rows.append((row, self._turns))

    def kernel(
        self,
        name: str,
        kernel: Kernel,
        inputs: Sequence[Value],
        shape: Sequence[Size],
        *,
        operator: str,
        backward: Backward | None = None,
        keeps: Sequence[tuple[Value, int | None]] = (),
        keeps_result: bool = False,
        itemsize: Size | None = None,
        strides: tuple[Size, ...] | None = None,
        **details: Any,
    ) -> Value:
        """One kernel of one result, the way back through it included; `details` as in `launch`."""
        out = self.new(name, shape, itemsize)
        out.strides = strides
        self.launch(name, kernel, inputs, [out], operator=operator, **details)
        if backward is not None:
            self.follow(name, inputs, [out], backward, [*keeps, *([(out, None)] if keeps_result else [])])
        return out

    # --- the way back -----------------------------------------------------------------------------------------------

    def follow(
        self,
        name: str,
        inputs: Sequence[Value],
        results: Sequence[Value],
        backward: Backward,
        keeps: Sequence[tuple[Value, int | None]] = (),
        *,
        single: bool = True,
    ) -> None:
        """The results flow from the inputs, where one of these wants a gradient.

        `keeps` are values that autograd keeps, each with the index of the input whose gradient needs it (None: any);
        `backward` is given them in this order, a None in place of what is not kept.
        """
        if not self.recording or not any(v.needs_gradient for v in inputs):
            return
        node = self._node(name, inputs)
        node.shapes = tuple(v.shape for v in results)
        node.backward, node.single = backward, single
        node.kept = tuple(
            _held(value) if reason is None or inputs[reason].needs_gradient else None for value, reason in keeps
        )
        for kept in node.kept:
            if kept is not None:
                kept.storage.mark.turns_out(SAVED)
        for i, value in enumerate(results):
            value.node, value.output = node, i

    def _node(self, name: str, inputs: Sequence[Value]) -> Node:
        self._made += 1
        edges = tuple(None if v.node is None else (v.node, v.output) for v in inputs)
        return Node(name, self._made, self._path, self._turns, edges, tuple(v.storage.itemsize for v in inputs))

    def kept(self, results: Sequence[Value]) -> list[Storage]:
        """What autograd keeps for a way back from these: nothing for a result that is dropped."""
        nodes = reached(results)
        return list(dict.fromkeys(v.storage for node in nodes for v in node.kept if v is not None))

    @contextmanager
    def backwards(self) -> Iterator[None]:
        """What is launched inside belongs to the backward pass."""
        outer = self._path, self._direction, self._turns
        self._direction = Direction.BACKWARD
        try:
            yield
        finally:
            self.pass_to(outer[2])
            self._path, self._direction, self._turns = outer

    def go_to(self, node: Node) -> None:
        """To where a node was made: its place, and its turns of loops."""
        self.pass_to(node.turns)
        self._path = node.path

    def pass_to(self, turns: tuple[Turn, ...]) -> None:
        """Leave the turns that are over and enter those that are not entered yet."""
        shared = 0
        while shared < min(len(turns), len(self._turns)) and turns[shared] is self._turns[shared]:
            shared += 1
        while len(self._turns) > shared:
            self._leave()
        for turn in turns[shared:]:
            if turn.index == len(turn.loop.turns) - 1:
                turn.loop.last = None
            self._enter(turn)


def _held(value: Value) -> Value:
    """The same tensor for autograd to keep: without the node, which would hold itself."""
    return Value(value.shape, value.storage, strides=value.strides)


def reached(results: Sequence[Value]) -> list[Node]:
    """The nodes behind results, in the order of their making."""
    found: dict[int, Node] = {}
    open_nodes = [v.node for v in results if v.node is not None]
    while open_nodes:
        node = open_nodes.pop()
        if id(node) not in found:
            found[id(node)] = node
            open_nodes += [edge[0] for edge in node.inputs if edge is not None]
    return sorted(found.values(), key=lambda node: node.number)
