"""What a layer of a model of the transformers package finds and leaves in the cache that all layers share.

A cache has a list with an entry for each layer, which a layer finds by its number. What stands in for a layer's tensors
there wants no gradients: nothing is computed from it.
"""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seqcost.fakes.parts import named_parts
from seqcost.trace.quick.stacks import Stack


@dataclass(frozen=True)
class Place:
    """A layer's entry in a cache; the list may not be that long yet."""

    entries: list[Any]
    number: int
    first: int  # the number of the stack's first layer

    @property
    def contents(self) -> Any:
        """The attributes of the entry, by name; None where there is no entry yet."""
        if self.number >= len(self.entries):
            return None
        entry = self.entries[self.number]
        return {"": str(type(entry)), **vars(entry)}

    def fill(self, contents: Mapping[str, Any] | None, source: int) -> None:
        """Leave this in the entry; a new one is made like that of another layer."""
        if contents is None:
            return
        if self.number >= len(self.entries):
            self.entries.append(copy.copy(self.entries[self.first + source]))
        entry = self.entries[self.number]
        for name, value in contents.items():
            if name:
                setattr(entry, name, value)


def cache_of(stack: Stack, index: int, values: Any) -> Place | None:
    """Where a layer's entry is in the cache that is among the arguments, if there is one."""
    if not stack.numbers:
        return None
    cache = next(_caches(values), None)
    numbers = [_number(stack, layer) for layer in (0, index)]
    if cache is None or None in numbers:
        return None
    first, number = numbers
    assert first is not None
    assert number is not None
    return Place(cache.layers, number, first)


def _caches(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list):
        for item in value:
            yield from _caches(item)
    elif isinstance(value, dict):
        yield from _caches(tuple(value.values()))
    elif _is_cache(value):
        yield value


def _is_cache(value: Any) -> bool:
    theirs = any(base.__module__ == "transformers.cache_utils" for base in type(value).__mro__)
    return theirs and isinstance(getattr(value, "layers", None), list)


def _number(stack: Stack, index: int) -> int | None:
    found = {
        int(value)
        for _, part in named_parts(stack.layers[index])
        for name, value in vars(part).items()
        if name in stack.numbers and isinstance(value, int)
    }
    return found.pop() if len(found) == 1 else None
