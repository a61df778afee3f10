"""What one layer did, in words that hold for each of its equals: blocks are named after what they are to the layer.

A block is the layer's own (the k-th that came), its weight, its weight's gradient, what it was given, the k-th that
came in the backward pass of the layer above, or one that was there before the first layer. What refers to any other is
in doubt, and nothing is multiplied.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from seqcost.trace.book.book import Event, Op
from seqcost.trace.book.history import Storage
from seqcost.trace.quick.skipping import Pass

Tape = Sequence[Op | Event]


class DoubtError(Exception):
    """A layer did something that cannot be told in words that hold for its equals."""


class Names:
    """The names of blocks, seen from one layer."""

    def __init__(
        self,
        prefix: str,
        *,
        given: Sequence[Storage | None],
        weights: Mapping[int, str],
        gradients: Mapping[int, str],
        earlier: set[int],
    ) -> None:
        self._prefix, self._weights, self._gradients, self._earlier = prefix, weights, gradients, earlier
        self._given = {id(block): place for place, block in reversed(list(enumerate(given))) if block is not None}
        self.meanwhile: set[int] = set()  # blocks that came between the layers' forward and backward passes
        self.own: dict[int, int] = {}
        self.above: dict[int, int] = {}

    def of(self, tokens: Iterable[Op | Event]) -> list[Any]:
        """Operators and events in words."""
        return [self._op(token) if isinstance(token, Op) else self._event(token) for token in tokens]

    def block(self, block: Storage) -> Any:
        """What a block is to the layer."""
        key = id(block)
        if key in self.own:
            return ("own", self.own[key])
        if key in self._weights:
            return ("weight", self._weights[key])
        if key in self._gradients:
            return ("gradient", self._gradients[key])
        if key in self._given:
            return ("given", self._given[key])
        if key in self.above:
            return ("above", self.above[key])
        if key in self._earlier or key in self.meanwhile:
            return ("there", key)
        raise DoubtError("a block of another layer is used")

    def path(self, path: str) -> tuple[bool, str]:
        """A path below the layer, or another one."""
        if path == self._prefix or path.startswith(self._prefix + "."):
            return True, path[len(self._prefix) :]
        return False, path

    def _op(self, op: Op) -> Any:
        direction, path, name = op.key
        blocks = [[self.block(block) for block in some] for some in (op.used, op.awaited, op.written, op.made)]
        return ("op", direction, self.path(path), name, op.shapes, op.known, op.amounts, op.kernel_bytes, op.steps,
                op.recording, blocks)  # fmt: skip

    def _event(self, event: Event) -> Any:
        if event.block is None:
            raise DoubtError(f"{event.name} within a layer")
        if event.name == "come":
            self.own[id(event.block)] = len(self.own)
            return ("come", event.block.num_bytes, event.of, self.path(event.path))
        return (event.name, self.block(event.block), self.path(event.path))


def forward_spans(tape: Tape, found: Pass, start: int = 0, stop: int | None = None) -> dict[int, tuple[int, int]]:
    """By layer, where its call begins on the tape and where the next one does.

    Of the last, where it returns; with no `stop`, while the run is under way, where the tape ends so far.
    """
    marks: list[tuple[int, str, int]] = []
    mine = {id(call) for call in (*found.calls.values(), *found.left_out)}
    for at in range(start, len(tape) if stop is None else stop):
        token = tape[at]
        if isinstance(token, Event) and id(token.of) in mine and token.name in ("call", "return", "left out"):
            marks.append((at, token.name, token.of.index))
    begun = [(at, index) for at, name, index in marks if name != "return"]
    ends = {index: at + 1 for at, name, index in marks if name == "return"}
    after = [at for at, _ in begun[1:]]
    after.append(len(tape) if stop is None or not begun else ends[begun[-1][1]])
    return {index: (at, end) for (at, index), end in zip(begun, after, strict=True)}


def inside(tape: Tape, span: tuple[int, int]) -> list[Op | Event]:
    """Tokens of a span without the marks of calls; between a call's return and the next only memory may go."""
    tokens: list[Op | Event] = []
    returned = False
    for token in tape[span[0] : span[1]]:
        if isinstance(token, Event) and token.name in ("call", "return", "left out"):
            returned = token.name == "return"
            continue
        if returned and not (isinstance(token, Event) and token.name == "go"):
            raise DoubtError("something runs between the layers")
        tokens.append(token)
    return tokens


def backward_spans(tape: Tape, found: Pass, start: int, stop: int) -> dict[int, tuple[int, int]]:
    """By layer, where its backward pass begins on the tape, and where the next operator of anything else does."""
    runs: list[tuple[int | None, int]] = []
    for at in range(start, stop):
        token = tape[at]
        if isinstance(token, Op) and token.key[0] == "backward":
            index = found.stack.layer_of(token.key[1])
            if not runs or runs[-1][0] != index:
                runs.append((index, _with_results(tape, at, token)))
    layers = [index for index, _ in runs if index is not None]
    if not layers:
        return {}
    if layers != sorted(found.calls, reverse=True):
        raise DoubtError("the layers' backward passes do not follow one another")
    first = next(place for place, (index, _) in enumerate(runs) if index is not None)
    row = runs[first : first + len(layers)]
    if [index for index, _ in row] != layers:
        raise DoubtError("something runs between the layers' backward passes")
    ends = [at for _, at in runs[first + 1 : first + len(layers) + 1]]
    ends += [stop] * (len(row) - len(ends))
    return {index: (at, end) for (index, at), end in zip(row, ends, strict=True) if index is not None}


def _with_results(tape: Tape, at: int, op: Op) -> int:
    """Where an operator begins: its results come before it is booked."""
    made = {id(block) for block in op.made}
    while at and isinstance(before := tape[at - 1], Event) and before.name == "come" and id(before.block) in made:
        at -= 1
    return at


def there_before(tape: Tape, at: int, start: int = 0) -> set[int]:
    """Blocks that came before a place on the tape."""
    return {id(token.block) for token in tape[start:at] if isinstance(token, Event) and token.name == "come"}
