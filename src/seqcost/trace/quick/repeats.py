"""The tape of a run with the layers put in that were left out of it: each as the one of the third unit that it is like.

Forward, they stand where they were left out; backward, before the backward pass of the third unit's last layer, in the
opposite order. What the layers afterwards refer to as the third unit's result is the result of the last one put in.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from seqcost.fakes.parts import named_tensors
from seqcost.trace.book.book import Book, Event, Op
from seqcost.trace.book.history import History, Storage
from seqcost.trace.book.memory import Memory
from seqcost.trace.quick.calls import Call
from seqcost.trace.quick.naming import (
    DoubtError,
    Names,
    Tape,
    backward_spans,
    forward_spans,
    inside,
    there_before,
)
from seqcost.trace.quick.skipping import Pass, Skipping
from seqcost.trace.quick.stacks import Stack


def same_forward(found: Pass, book: Book, weights: "Weights") -> bool:
    """Whether the layers of the second and the third unit did the same up to now."""
    assert book.tape is not None
    try:
        spans = forward_spans(book.tape, found)
        earlier = there_before(book.tape, spans[0][0])
        period = found.stack.period
        for index in range(2 * period, 3 * period):
            ours, theirs = (
                weights.names(found, which, earlier).of(inside(book.tape, spans[which]))
                for which in (index, index - period)
            )
            if ours != theirs:
                return False
    except DoubtError:
        return False
    return True


class Weights:
    """The blocks of the parameters and buffers of layers, and of their gradients from earlier stages, by name."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._known: dict[int, dict[str, Storage]] = {}

    def of(self, layer: Any) -> Mapping[str, Storage]:
        """Blocks by name within the layer."""
        if id(layer) not in self._known:
            pairs = ((name, self._memory.known(tensor)) for name, tensor in named_tensors(layer))
            self._known[id(layer)] = {name: block for name, block in pairs if block is not None}
        return self._known[id(layer)]

    def names(self, found: Pass, index: int, earlier: set[int]) -> Names:
        """How a layer calls blocks."""
        return Names(
            found.stack.prefixes[index],
            given=found.calls[index].blocks,
            weights={id(block): name for name, block in self.of(found.stack.layers[index]).items()},
            gradients={id(block): name for name, block in found.gradients.get(index, {}).items()},
            earlier=earlier,
        )


@dataclass
class _Source:
    """What a layer of the third unit did, in words and on the tape."""

    names: Names
    forward: list[Op | Event]
    backward: list[Op | Event]
    came: list[Storage]  # its own blocks in order
    forward_came: int  # of them, before the backward pass
    gone: list[Any]  # names of the blocks that went


@dataclass
class _Made:
    """A layer that is put in: its own blocks, and what it was given."""

    call: Call
    source: _Source
    own: list[Storage]
    given: list[Storage | None] = field(default_factory=list)


class Repeats:
    """The tape with everything put in, played into a new book. Raises DoubtError where that cannot be shown right."""

    def __init__(self, tape: Tape, skipping: Skipping, weights: Weights, history: History | None) -> None:
        self.book = Book(history)
        self._tape, self._weights = tape, weights
        self._fresh: dict[int, Storage] = {}
        self._recorded: list[Storage] = []
        self._alias: dict[int, Storage] = {}  # of a block on the tape, what it stands for by now
        self._unheeded: set[int] = set()  # blocks that only stood in for others
        self._jumps: dict[int, tuple[int, Any]] = {}  # places on the tape where something is put in or told otherwise
        starts = [at for at, token in enumerate(tape) if isinstance(token, Event) and token.name == "start"]
        stops = [at for at, token in enumerate(tape) if isinstance(token, Event) and token.name == "stop"]
        stages = list(zip(starts, stops, strict=True)) or [(0, len(tape))]
        for (start, stop), passes in zip(stages, skipping.passes, strict=True):
            for found in passes:
                if found.left_out:
                    self._plan(found, start, stop)

    def play(self) -> Book:
        """The book of the whole run."""
        at = 0
        while at < len(self._tape):
            jump = self._jumps.get(at)
            if jump is None:
                self._tell(self._tape[at], self._here)
                at += 1
            else:
                at, put_in = jump
                put_in()
        for block, fresh in ((block, self._fresh[id(block)]) for block in self._recorded):
            block.used = block.used or fresh.used
        return self.book

    def _plan(self, found: Pass, start: int, stop: int) -> None:
        stack, tape = found.stack, self._tape
        if not found.shown or found.broken or len(found.left_out) != stack.size - 4 * stack.period:
            raise DoubtError("some layers were another")
        spans = forward_spans(tape, found, start, stop)
        back = backward_spans(tape, found, max(end for _, end in spans.values()), stop)
        earlier = there_before(tape, spans[0][0])
        top = max(end for _, end in spans.values())
        meanwhile = there_before(tape, min((begin for begin, _ in back.values()), default=top), top)
        period, sources = stack.period, {}
        came_above = {index: _came(inside(tape, span)) for index, span in back.items()}
        for index in range(2 * period, 3 * period):
            ours, theirs = (
                self._source(found, which, spans, back, earlier, came_above, meanwhile)
                for which in (index, index - period)
            )
            if ours[1] != theirs[1]:
                raise DoubtError("the second and the third unit differ")
            sources[index] = ours[0]
            self._check_ends(ours[0], found.calls[index], found)
        made = [_Made(call, sources[stack.source(call.index)], own=[]) for call in found.left_out]
        for one in made:
            one.own = self._own_blocks(one)
        first, last = spans[made[0].call.index][0], spans[made[-1].call.index][1]
        replaced = {id(block) for one in made for block in one.call.blocks[1:]}  # what was in a cache
        for token in tape[first:last]:
            marks = isinstance(token, Event) and token.name == "left out"
            if not marks and not (isinstance(token, Event) and token.name == "go" and id(token.block) in replaced):
                raise DoubtError("something runs between the layers")
        handed_on = found.calls[3 * period - 1].made[:1]
        self._jumps[first] = (last, lambda: self._put_in_forward(found, made, handed_on))
        if back:
            index = 3 * period - 1
            begin, end = back[index]
            above = came_above[index + 1 + len(made)]
            self._jumps[begin] = (end, lambda: self._put_in_backward(found, made, above, sources[index], handed_on))

    def _own_blocks(self, one: _Made) -> list[Storage]:
        made = []
        gone = {name[1] for name in one.source.gone if name[0] == "own"}
        for place, (block, event) in enumerate(zip(one.source.came, _comings(one.source), strict=True)):
            virtual = one.call.virtual.get(id(block))
            if virtual is not None and place in gone:  # what was there for the cache; autograd keeps it longer
                self._unheeded.add(id(virtual))
                virtual = None
            own = Storage(block.num_bytes, category=event.of, path="", shape=block.shape)
            made.append(own if virtual is None else self._block(virtual))
        return made

    def _source(
        self,
        found: Pass,
        index: int,
        spans: Mapping[int, tuple[int, int]],
        back: Mapping[int, tuple[int, int]],
        earlier: set[int],
        came_above: Mapping[int, list[Storage]],
        meanwhile: set[int],
    ) -> tuple[_Source, list[Any]]:
        names = self._weights.names(found, index, earlier)
        forward = inside(self._tape, spans[index])
        said = names.of(forward)
        forward_came, backward = len(names.own), []
        if back:
            above = next(other for other in sorted(back) if other > index)
            names.above = {id(block): place for place, block in enumerate(came_above[above])}
            names.meanwhile = meanwhile
            backward = inside(self._tape, back[index])
            said = [*said, "backward", *names.of(backward)]
        came = [*_came(forward), *_came(backward)]
        gone = [word[1] for word in said if isinstance(word, tuple) and word[0] == "go"]
        return _Source(names, forward, backward, came, forward_came, gone), said

    def _check_ends(self, source: _Source, call: Call, found: Pass) -> None:
        """What a layer was given must go within it, once, and its own blocks too, or be known to live on."""
        gone = source.gone
        lasting = {id(block) for block in call.made}
        lasting |= {key for other in found.left_out for key in other.virtual}
        for place, block in enumerate(source.came):
            if ("own", place) not in gone and id(block) not in lasting:
                raise DoubtError("memory of a layer lives on")
        handed_on = call.made and call.made[0] is not call.blocks[0]
        if handed_on and gone.count(("given", 0)) != 1:
            raise DoubtError("what a layer is given lives on")

    def _put_in_forward(self, found: Pass, made: list[_Made], handed_on: list[Storage]) -> None:
        for one in made:
            one.given = [None if block is None else self._here(block) for block in one.call.blocks]
            self._tell_all(one, one.source.forward, found, above=[])
            if handed_on:
                place = one.source.names.own[id(found.calls[found.stack.source(one.call.index)].made[0])]
                self._alias[id(handed_on[0])] = one.own[place]

    def _put_in_backward(
        self, found: Pass, made: list[_Made], above: list[Storage], third: _Source, handed_on: list[Storage]
    ) -> None:
        higher = [self._here(block) for block in above]
        for one in reversed(made):
            self._tell_all(one, one.source.backward, found, above=higher)
            higher = one.own[one.source.forward_came :]
        # The third unit itself: the layer above is now the first that was put in; its own result is its own again.
        for block in handed_on:
            self._alias.pop(id(block), None)

        def block_of(block: Storage) -> Storage:
            name, place = third.names.block(block)
            return higher[place] if name == "above" else self._block(block)

        for token in third.backward:
            self._tell(token, block_of)

    def _tell_all(self, one: _Made, tokens: Iterable[Op | Event], found: Pass, above: list[Storage]) -> None:
        prefix, layer = found.stack.prefixes[one.call.index], found.stack.layers[one.call.index]
        weights, gradients = self._weights.of(layer), found.gradients.get(one.call.index, {})

        def block_of(block: Storage) -> Storage:
            name, place = one.source.names.block(block)
            if name == "own":
                return one.own[place]
            if name == "weight":
                return self._block(weights[place])
            if name == "gradient":
                return self._block(gradients[place])
            if name == "given":
                given = one.given[place]
                assert given is not None
                return given
            return above[place] if name == "above" else self._block(block)

        def path_of(path: str) -> str:
            within, rest = one.source.names.path(path)
            return prefix + rest if within else rest

        for token in tokens:
            self._tell(token, block_of, path_of)

    def _tell(self, token: Op | Event, block_of: Any, path_of: Any = str) -> None:
        book = self.book
        if isinstance(token, Op):
            direction, path, name = token.key
            blocks: dict[str, Any] = {
                which: [block_of(block) for block in getattr(token, which)]
                for which in ("used", "awaited", "written", "made")
            }
            book.enter(replace(token, key=(direction, path_of(path), name), **blocks))
        elif token.name in ("start", "stop"):
            book.start(token.times) if token.name == "start" else book.stop()
        elif token.block is not None and id(token.block) not in self._unheeded:
            block = block_of(token.block)
            if token.name == "keep":
                book.keep(block, path_of(token.path))
            elif token.name == "come":
                block.category, block.path = token.of, path_of(token.path)
                book.come(block)
            else:
                getattr(book, token.name)(block)

    def _here(self, block: Storage) -> Storage:
        """A block of the tape as it is meant at this place."""
        return self._alias.get(id(block)) or self._block(block)

    def _block(self, block: Storage) -> Storage:
        if id(block) not in self._fresh:
            self._fresh[id(block)] = Storage(block.num_bytes, shape=block.shape)
            self._recorded.append(block)
        return self._fresh[id(block)]


def _came(tokens: Iterable[Op | Event]) -> list[Storage]:
    return [t.block for t in tokens if isinstance(t, Event) and t.name == "come" and t.block is not None]


def _comings(source: _Source) -> list[Event]:
    tokens = (*source.forward, *source.backward)
    return [t for t in tokens if isinstance(t, Event) and t.name == "come"]


def multiplied(saved: Mapping[str, int], skipping: Skipping) -> dict[str, int]:
    """What is kept by module, the layers that were left out included, each in its place."""
    found = dict(saved)
    for one in skipping.passes[0] if skipping.passes else ():
        if not one.left_out:
            continue
        stack, period = one.stack, one.stack.period
        of = [
            {path: size for path, size in saved.items() if stack.layer_of(path) == index} for index in range(stack.size)
        ]

        def below(index: int, of: Sequence[Mapping[str, int]] = of, stack: Stack = stack) -> dict[str, int]:
            return {path[len(stack.prefixes[index]) :]: size for path, size in of[index].items()}

        if any(below(index) != below(index - period) for index in range(2 * period, 3 * period)):
            raise DoubtError("the second and the third unit keep something else")
        put_in = {
            stack.prefixes[call.index] + rest: size
            for call in one.left_out
            for rest, size in below(stack.source(call.index)).items()
        }
        after = [path for path in found if (index := stack.layer_of(path)) is not None and index >= stack.size - period]
        at = list(found).index(after[0]) if after else len(found)
        items = list(found.items())
        found = dict([*items[:at], *put_in.items(), *items[at:]])
    return found
