"""A run in which the inner layers of a stack hand on what they are given, where those before them were shown equal.

Followed are the layers of the first three units and of the last. An inner layer is left out if it is called as the
layer of the third unit was (the same way, with tensors of the same shapes, the first of them what the layer before it
gave back), and if the second and the third unit did the same, operator by operator and block by block. Everything
between the layers runs as ever; the tape says what was left out, and `repeats` puts it in.
"""

import functools
import random
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, in_kernel_invocation_manager
from torch.utils._python_dispatch import _disable_current_modes

from seqcost.fakes.parts import named_parameters, named_parts
from seqcost.trace.book.book import Book, Event
from seqcost.trace.book.history import Storage
from seqcost.trace.book.memory import Memory
from seqcost.trace.quick.caches import Place, cache_of
from seqcost.trace.quick.calls import Call, Given, HandedOn, Made, result_words, structure, words_of
from seqcost.trace.quick.stacks import Stack, settings_of

_WAYS = ("forward", "extend", "step")


class Pass:
    """One pass through a stack: the calls that were followed, and those that were left out."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.calls: dict[int, Call] = {}
        self.left_out: list[Call] = []
        self.begun = 0  # calls
        self.broken = False  # whether something is not as it is in a row of equal layers
        self.shown: bool | None = None  # whether the second and the third unit did the same
        self.handed_on: Callable[[], Any] = lambda: None
        self.settings = {index: settings_of(stack.layers[index]) for index in self.compared}
        self.gradients: dict[int, Mapping[str, Storage]] = {}  # by layer, of earlier stages

    @property
    def compared(self) -> range:
        """The layers of the second and the third unit."""
        return range(self.stack.period, 3 * self.stack.period)

    @property
    def unchanged(self) -> bool:
        """Whether their settings are still those of the beginning."""
        return all(settings_of(self.stack.layers[index]) == before for index, before in self.settings.items())


class Skipping:
    """The stacks of a module, and the passes through them; one for each stage of a run."""

    def __init__(self, stacks: Sequence[Stack], memory: Memory | None, same: Callable[["Pass", Book], bool]) -> None:
        self.stacks = list(stacks)
        self.passes: list[list[Pass]] = []  # by stage
        self._memory, self._same = memory, same
        self._noted = False
        self._of: dict[int, Pass] = {}

    @property
    def left_out(self) -> int:
        """Layers that were not followed."""
        return sum(len(found.left_out) for stage in self.passes for found in stage)

    def next_stage(self) -> None:
        """The layers will be called once more."""
        self._of = {id(stack): Pass(stack) for stack in self.stacks}
        self.passes.append(list(self._of.values()))
        if self._memory is None:
            return
        for found in self._of.values():
            for index, layer in enumerate(found.stack.layers):
                grown = (
                    (name, self._memory.known(p.grad)) for name, p in named_parameters(layer) if p.grad is not None
                )
                found.gradients[index] = {name: block for name, block in grown if block is not None}

    @contextmanager
    def skipping(self) -> Iterator[None]:
        """Leave layers out while the block runs."""
        wrapped: list[tuple[nn.Module, str, Any]] = []
        for stack in self.stacks:
            for index, layer in enumerate(stack.layers):
                for way in _WAYS:
                    if callable(getattr(layer, way, None)):
                        wrapped.append((layer, way, vars(layer).get(way)))
                        setattr(layer, way, self._asked(stack, index, way, getattr(layer, way)))
        try:
            with _numbered(self.stacks, self._note):
                yield
        finally:
            for layer, way, before in wrapped:
                if before is None:
                    delattr(layer, way)
                else:
                    setattr(layer, way, before)

    def _note(self) -> None:
        """A layer asked for its number: none is like another any more."""
        self._noted = True
        for found in self._of.values():
            found.broken = True

    def _asked(self, stack: Stack, index: int, way: str, plain: Any) -> Any:
        @functools.wraps(plain)
        def call(*args: Any, **kwargs: Any) -> Any:
            found = self._of[id(stack)]
            if found.broken or self._noted or torch._C._current_autograd_node() is not None or index != found.begun:
                found.broken = True
                return plain(*args, **kwargs)
            cache = cache_of(stack, index, (args, kwargs))
            said, given = self._said(way, index, (args, kwargs, None if cache is None else cache.contents))
            if said is None or not self._is_handed_on(found, index, given, said):
                found.broken = True
                return plain(*args, **kwargs)
            found.begun += 1
            if stack.is_inner(index) and self._is_like(found, said, given):
                return self._leave_out(found, said, given, cache)
            if found.left_out and stack.is_inner(index):
                found.broken = True  # some were left out and this one is another
            self._tell("call", said)
            before = _random_states()
            seen = [weakref.ref(tensor) for tensor in given]
            del given  # what is replaced in a cache dies within the call
            result = plain(*args, **kwargs)
            contents = None if cache is None else cache.contents
            said.result, said.made = result_words(result, contents, seen, said.blocks, self._block_of)
            if said.result is None or before != _random_states():
                found.broken = True
            self._tell("return", said)
            found.calls[index] = said
            found.handed_on = _first_of(result)
            return result

        return call

    def _said(self, way: str, index: int, values: Any) -> tuple[Call | None, list[Tensor]]:
        given: list[Tensor] = []
        words = words_of(values, given)
        if not given or not all(isinstance(tensor, FakeTensor) or tensor.numel() == 0 for tensor in given):
            return None, given
        state = (way, torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"))
        return Call(index, (state, words), [self._block_of(tensor) for tensor in given]), given

    def _is_handed_on(self, found: Pass, index: int, given: list[Tensor], said: Call) -> bool:
        return index == 0 or found.handed_on() is given[0]

    def _is_like(self, found: Pass, said: Call, given: Sequence[Tensor]) -> bool:
        source = found.calls.get(found.stack.source(said.index))
        before = found.calls.get(found.stack.source(said.index) - found.stack.period)
        if source is None or before is None or found.broken:
            return False
        if source.words != said.words or before.words != source.words or before.result != source.result:
            return False
        blocks = zip(given[1:], said.blocks[1:], source.blocks[1:], strict=True)
        if torch.is_grad_enabled() and any(t.requires_grad and ours != theirs for t, ours, theirs in blocks):
            return False  # something else than the first is differentiated and is another for each layer
        if found.shown is None:
            same = self._memory is None or self._same(found, self._memory.book)
            found.shown = same and found.unchanged
        return found.shown

    def _leave_out(self, found: Pass, said: Call, given: list[Tensor], cache: Place | None) -> Any:
        source = found.calls[found.stack.source(said.index)]
        stand_ins: dict[int, Any] = {}
        self._tell("left out", said)
        found.left_out.append(said)

        def leaf(value: Any) -> Any:
            if isinstance(value, Given):
                return given[value.place]
            if isinstance(value, HandedOn):
                return given[0]
            if isinstance(value, Made):
                return self._stand_in(value, source, said, given[0], stand_ins)
            return value

        result, contents = structure(source.result, leaf)
        if cache is not None:
            cache.fill(contents, source.index)
        return result

    def _stand_in(self, made: Made, source: Call, said: Call, like: Tensor, known: dict[int, Any]) -> Tensor:
        """A tensor as the layer would have made it."""
        assert isinstance(like, FakeTensor)
        leaf, mode = made.leaf, like.fake_mode
        if made.block not in known:
            known[made.block] = _memory_of(mode, made.num_bytes)
        tensor = _seen_as(mode, known[made.block], leaf.dtype, leaf)
        if self._memory is not None:
            theirs = source.made[made.block]
            if id(theirs) not in said.virtual:
                block = said.virtual[id(theirs)] = Storage(theirs.num_bytes, shape=theirs.shape)
                self._memory.adopt(tensor.untyped_storage(), block)
        return tensor

    def settle_gradients(self) -> None:
        """Give the layers that were left out the gradients that they would have."""
        if self._memory is None:
            return
        for found in self.passes[-1]:
            for said in found.left_out:
                source = found.calls[found.stack.source(said.index)]
                theirs = dict(named_parameters(found.stack.layers[source.index]))
                for name, parameter in named_parameters(found.stack.layers[said.index]):
                    gradient = theirs[name].grad
                    if gradient is None or parameter.grad is not None:
                        continue
                    block = self._memory.known(gradient)
                    assert isinstance(gradient, FakeTensor)
                    assert block is not None
                    made = _memory_of(gradient.fake_mode, int(gradient.untyped_storage().nbytes()))
                    own = said.virtual[id(block)] = Storage(block.num_bytes, shape=block.shape)
                    parameter.grad = _seen_as(gradient.fake_mode, made, gradient.dtype, gradient)
                    self._memory.adopt(parameter.grad.untyped_storage(), own)

    def _block_of(self, tensor: Tensor) -> Any:
        return tensor.untyped_storage()._cdata if self._memory is None else self._memory.known(tensor)

    def _tell(self, name: str, said: Call) -> None:
        if self._memory is not None and self._memory.book.tape is not None:
            self._memory.book.tape.append(Event(name, of=said))


def _memory_of(mode: FakeTensorMode, num_bytes: int) -> Tensor:
    with _disable_current_modes(), in_kernel_invocation_manager(mode):
        return torch.empty(num_bytes, dtype=torch.uint8, device="meta")


def _seen_as(mode: FakeTensorMode, memory: Tensor, dtype: torch.dtype, leaf: Any) -> Tensor:
    offset = leaf.storage_offset() if isinstance(leaf, Tensor) else leaf.offset
    stride = leaf.stride() if isinstance(leaf, Tensor) else leaf.stride
    device = leaf.fake_device if isinstance(leaf, FakeTensor) else leaf.device
    with _disable_current_modes(), in_kernel_invocation_manager(mode):
        seen = torch.empty(0, dtype=dtype, device="meta").set_(
            memory.untyped_storage(), offset, tuple(leaf.shape), stride
        )
        return FakeTensor(mode, seen, device)


def _first_of(result: Any) -> Callable[[], Any]:
    first = result
    while isinstance(first, tuple | list) and first:
        first = first[0]
    return weakref.ref(first) if isinstance(first, Tensor) else lambda: None


def _random_states() -> tuple[Any, ...]:
    return random.getstate()[1][-1], np.random.get_state(legacy=False)["state"]["pos"]  # noqa: NPY002


class _Number(int):
    """A number among layers; to count or to compare with it is noted, unless a cache does."""

    note: Callable[[], None]


def _noting(name: str) -> Any:
    plain = getattr(int, name)

    def operate(self: Any, *others: Any) -> Any:
        frame = sys._getframe(1)
        if not frame.f_globals.get("__name__", "").startswith(("transformers.cache_utils", "seqcost.trace.", "copy")):
            self.note()
        return plain(self, *others)

    return operate


for _name in ("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__mod__", "__floordiv__",
              "__truediv__", "__pow__", "__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__bool__",
              "__float__", "__int__", "__and__", "__or__", "__divmod__", "__neg__"):  # fmt: skip
    setattr(_Number, _name, _noting(_name))
_Number.__hash__ = int.__hash__  # type: ignore[method-assign]


@contextmanager
def _numbered(stacks: Sequence[Stack], note: Callable[[], None]) -> Iterator[None]:
    """Have the numbers of layers say when they are used."""
    changed: list[tuple[Any, str, int]] = []
    for stack in stacks:
        for layer in stack.layers if stack.numbers else ():
            for _, part in named_parts(layer):
                for name in stack.numbers & vars(part).keys():
                    value = vars(part)[name]
                    if type(value) is int:
                        changed.append((part, name, value))
                        number = _Number(value)
                        number.note = note
                        vars(part)[name] = number
    try:
        yield
    finally:
        for part, name, value in changed:
            vars(part)[name] = value
