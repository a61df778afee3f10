"""What a layer is given and what it gives back, in words, without holding any of it: nothing may live longer for it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seqcost.fakes.places import place_of
from seqcost.trace.book.history import Storage

_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.Size)


@dataclass(frozen=True)
class Leaf:
    """A tensor in words: its shape and layout."""

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype
    device: torch.device
    requires_grad: bool

    @classmethod
    def of(cls, tensor: Tensor) -> "Leaf":
        """In words."""
        return cls(tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()), tensor.dtype, tensor.device,
                   tensor.requires_grad)  # fmt: skip


@dataclass(frozen=True)
class Given:
    """The tensor at this place among the inputs."""

    place: int


@dataclass(frozen=True)
class HandedOn:
    """What the layer makes of its first input: the next layer's."""

    leaf: Leaf


@dataclass(frozen=True)
class Made:
    """Another tensor that the layer made; `block` is its memory, of so many bytes."""

    leaf: Leaf
    num_bytes: int
    block: int  # which of the blocks that it gives back


@dataclass
class Call:
    """One layer's call. `words` are equal for calls that are alike; `blocks` are the memory of the tensors given."""

    index: int
    words: Any
    blocks: list[Storage | None]
    first: Any = None  # place of the first tensor that is given
    result: Any = None  # words of what came back; None where it cannot be made again
    made: list[Storage] = field(default_factory=list)  # memory of what came back; what is handed on first
    virtual: dict[int, Storage] = field(default_factory=dict)  # by identity of the source's block


def structure(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """The same structure with `leaf` of everything that is none."""
    kind = type(value)
    if kind in (tuple, list):
        return kind(structure(item, leaf) for item in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return kind(*(structure(item, leaf) for item in value))
    if kind is dict:
        return {key: structure(item, leaf) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type | Leaf | Given | HandedOn | Made):
        if isinstance(value, Mapping):  # an output of transformers: both a dataclass and a dict
            return leaf(value)
        names = [f.name for f in dataclasses.fields(value) if f.init]
        return dataclasses.replace(value, **{name: structure(getattr(value, name), leaf) for name in names})
    return leaf(value)


def words_of(value: Any, tensors: list[Tensor]) -> Any:
    """A value in words that can be compared; its tensors are listed, one that stands there twice once."""
    kind = type(value)
    if isinstance(value, Tensor):
        for place, known in enumerate(tensors):
            if known is value:
                return Given(place)
        tensors.append(value)
        return Leaf.of(value)
    if kind in _PLAIN:
        return (kind, value)
    if isinstance(value, tuple | list):
        return (kind, *(words_of(item, tensors) for item in value))
    if isinstance(value, Mapping):
        return (kind, *((key, words_of(item, tensors)) for key, item in value.items()))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return (kind, *((f.name, words_of(getattr(value, f.name), tensors)) for f in fields))
    return (kind, id(value))


class _CannotError(Exception):
    """What came back cannot be made again."""


def result_words(
    result: Any,
    contents: Any,
    given: Sequence[Callable[[], Any]],
    known: Sequence[Any],
    block_of: Callable[[Tensor], Any],
) -> tuple[Any, list[Any]]:
    """What came back and what is in a cache now, in words, and the blocks of what the layer made.

    (None, []) where it cannot be made again: where something else than what is handed on wants gradients. `given` refer
    to what the layer was given, where that is still there; `known` are the blocks of that.
    """
    made: list[Any] = []

    def leaf(value: Any, *, cached: bool = False) -> Any:
        if not isinstance(value, Tensor):
            if type(value) in _PLAIN:
                return value
            raise _CannotError
        for place, refer in enumerate(given):
            tensor = refer()
            if tensor is None:
                continue
            if tensor is value or (place_of(tensor) == place_of(value) and not value.requires_grad):
                return Given(place)
        block = block_of(value)
        if block in known:
            raise _CannotError
        if not made and not cached:
            made.append(block)
            return HandedOn(Leaf.of(value))
        if (value.requires_grad and not cached) or block in made[:1]:
            raise _CannotError
        if block not in made:
            made.append(block)
        return Made(Leaf.of(value), int(value.untyped_storage().nbytes()), made.index(block))

    try:
        return (structure(result, leaf), structure(contents, lambda value: leaf(value, cached=True))), made
    except (_CannotError, TypeError):
        return None, []
