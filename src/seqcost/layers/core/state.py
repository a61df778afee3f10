"""What a layer carries from one token to the next: immutable, made of tensors, batch first.

A state is a frozen dataclass whose fields are tensors, whole numbers or further states. It is never changed in
place: `extend` and `step` return a new one. It is registered as a pytree with the names of its fields as keys, so
torch.func, torch.compile and torch.export see through it, and as safe to load, so `torch.load` reads what `torch.save`
wrote (weights_only=True, its default).
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils import _pytree


@dataclasses.dataclass(frozen=True)
class State:
    """Base of all states; on its own, the state of a layer that carries nothing."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _register(cls)

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """The same state with `function` applied to each tensor."""
        return type(self)(*(_map(getattr(self, f.name), function) for f in dataclasses.fields(self)))

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor in it."""
        for f in dataclasses.fields(self):
            yield from _tensors(getattr(self, f.name))

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return sum(t.numel() * t.element_size() for t in self.tensors())

    def detach(self) -> Self:
        """Cut off from the graph: truncated backpropagation through time."""
        return self.map(lambda t: t.detach())

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """On another device."""
        return self.map(lambda t: t.to(*args, **kwargs))

    def select(self, rows: Tensor) -> Self:
        """Rows of the batch, repeated or reordered: beam search."""
        return self.map(lambda t: t.index_select(0, rows.to(t.device)))


def _register(cls: type[State]) -> None:
    _pytree.register_pytree_node(
        cls,
        lambda state: ([getattr(state, f.name) for f in dataclasses.fields(state)], None),
        lambda values, _: cls(*values),
        flatten_with_keys_fn=lambda state: (
            [(_pytree.GetAttrKey(f.name), getattr(state, f.name)) for f in dataclasses.fields(state)],
            None,
        ),
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
    )
    torch.serialization.add_safe_globals([cls])


_register(State)


def _map(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, State):
        return value.map(function)
    if isinstance(value, tuple):
        return tuple(_map(v, function) for v in value)
    return value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, State):
        yield from value.tensors()
    elif isinstance(value, tuple):
        for v in value:
            yield from _tensors(v)


@dataclasses.dataclass(frozen=True)
class States(State):
    """One state per part, in the order of the parts."""

    parts: tuple[State, ...]


@dataclasses.dataclass(frozen=True)
class Position(State):
    """How many tokens have passed."""

    tokens: int = 0


def empty(batch: int, *shape: int, like: Tensor) -> Tensor:
    """Zeros [batch, *shape] with the dtype and device of a weight."""
    return torch.zeros(batch, *shape, dtype=like.dtype, device=like.device)


def start_state(batch: int, *shape: int, like: Tensor) -> Tensor:
    """Zeros [batch, *shape] on the device of a weight, in float32 at least: sums over a whole text live in it."""
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.zeros(batch, *shape, dtype=dtype, device=like.device)
