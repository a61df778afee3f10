"""Layers of a module that are equal: the same code, settings, shapes of parameters and buffers, and nothing in common.

Looked at are the children of each module, in their order: a row of five or more equal units, each of one layer or of a
pattern of several (sliding, sliding, full). A number that counts the layers is no difference, where the code asks for
it only to find its place in a cache.
"""

import functools
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from seqcost.fakes.parts import named_parts, named_tensors
from seqcost.trace.quick.code import remembers

FOLLOWED = 4  # units: the first, two to be compared, the last
_LONGEST_PATTERN = 8
_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.Size, complex, bytes)
_OF_MODULES = frozenset(vars(nn.Module())) | {"extend", "step", "forward"}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "parametrizations")


@dataclass(frozen=True)
class Stack:
    """Layers `first` to `last` (excluded) of a row, of which each unit of `period` is equal to the others."""

    layers: tuple[nn.Module, ...]
    prefixes: tuple[str, ...]  # their paths
    period: int
    numbers: frozenset[str] = frozenset()  # settings that count the layers

    @property
    def size(self) -> int:
        """Layers."""
        return len(self.layers)

    def is_inner(self, index: int) -> bool:
        """Whether a layer need not be followed: it is in neither of the first three units nor in the last."""
        return (FOLLOWED - 1) * self.period <= index < self.size - self.period

    def source(self, index: int) -> int:
        """The layer that an inner one is like: of the third unit."""
        return 2 * self.period + index % self.period

    def layer_of(self, path: str) -> int | None:
        """Which layer a path lies in."""
        head = self.prefixes[0].rpartition(".")[0]
        if head and not path.startswith(head + "."):
            return None
        name = path[len(head) + 1 :] if head else path
        return self._by_name.get(name.partition(".")[0])

    @cached_property
    def _by_name(self) -> Mapping[str, int]:
        return {prefix.rpartition(".")[2]: index for index, prefix in enumerate(self.prefixes)}


def stacks_of(module: nn.Module) -> list[Stack]:
    """Rows of equal layers, none within another."""
    found: list[Stack] = []
    _look(module, "", found, _owners(module))
    return found


def _look(module: nn.Module, path: str, found: list[Stack], owners: Mapping[int, int]) -> None:
    children = [(f"{path}.{name}" if path else name, child) for name, child in module.named_children()]
    taken: set[int] = set()
    if len(children) > FOLLOWED and len({id(child) for _, child in children}) == len(children):
        for start, stop, period, numbers in _rows([child for _, child in children]):
            row = children[start:stop]
            layers = tuple(child for _, child in row)
            if _apart(layers, owners) and not _remember(layers[:period], numbers):
                found.append(Stack(layers, tuple(prefix for prefix, _ in row), period, numbers))
                taken |= set(range(start, stop))
    for index, (prefix, child) in enumerate(children):
        if index not in taken:
            _look(child, prefix, found, owners)


def _rows(layers: Sequence[nn.Module]) -> Iterator[tuple[int, int, int, frozenset[str]]]:
    """Start, stop and period of rows of enough equal units; the settings in which the layers are numbered."""
    start = 0
    kinds = [type(layer) for layer in layers]
    if max(map(kinds.count, set(kinds))) <= FOLLOWED:
        return
    facts = [dict(_facts(layer)) for layer in layers]
    numbers = _numbers(facts)
    keys: list[Any] = []
    names: dict[Any, int] = {}
    for fact in facts:
        key = tuple(item for item in fact.items() if item[0] not in numbers)
        keys.append(names.setdefault(key, len(names)))
    while start < len(layers) - FOLLOWED:
        for period in range(1, _LONGEST_PATTERN + 1):
            stop = start + period
            while stop < len(layers) and keys[stop] == keys[stop - period]:
                stop += 1
            units = (stop - start) // period
            if units > FOLLOWED:
                stop = start + units * period
                yield start, stop, period, frozenset(name.rpartition(":")[2] for name in numbers)
                start = stop
                break
        else:
            start += 1


def _numbers(facts: Sequence[Mapping[str, Any]]) -> set[str]:
    """Settings that count the layers."""
    return {
        name
        for name, value in facts[0].items()
        if type(value) is int
        and all(type(fact.get(name)) is int and fact[name] - value == index for index, fact in enumerate(facts))
    }


def settings_of(layer: nn.Module) -> dict[str, Any]:
    """All that a layer is made of, in words; not what a trace itself hangs on its weights."""
    found = {name: value for name, value in _facts(layer) if not name.endswith(".hooks")}
    for kind in {base for _, part in named_parts(layer) for base in type(part).__mro__} - set(nn.Module.__mro__):
        for name, value in vars(kind).items():
            if type(value) in (*_PLAIN, list, dict, set) and not name.startswith("__"):
                found[f"{kind.__qualname__}.{name}"] = _setting(value) if type(value) is not set else len(value)
    return found


def _facts(layer: nn.Module) -> Iterator[tuple[str, Any]]:
    """All that tells a layer from another, by names that are the same in each."""
    for path, part in named_parts(layer):
        yield f"{path}:", (type(part), part.training, tuple(part._modules))
        for name in _HOOKS:
            if getattr(part, name, None):
                yield f"{path}:{name}", object()  # equal to nothing
        for name, tensor in (*part._parameters.items(), *part._buffers.items()):
            yield f"{path}:{name}", None if tensor is None else _tensor(tensor)
            if tensor is not None and (tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None)):
                yield f"{path}:{name}.hooks", object()
        for name, value in vars(part).items():
            if name not in _OF_MODULES:
                yield f"{path}:{name}", _setting(value)


def _tensor(tensor: Tensor) -> Any:
    if tensor.layout != torch.strided:
        return object()
    return type(tensor), tuple(tensor.shape), tensor.stride(), tensor.dtype, tensor.device, tensor.requires_grad


def _setting(value: Any, depth: int = 0) -> Any:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in (tuple, list) and depth < 3:
        return (kind, *(_setting(item, depth + 1) for item in value))
    if kind is dict and depth < 3:
        return (kind, *((key, _setting(item, depth + 1)) for key, item in value.items()))
    if isinstance(value, Tensor):
        return object()
    if inspect.ismethod(value):
        return value.__func__
    if kind is functools.partial and depth < 3:
        parts = (value.func, value.args, value.keywords)
        return (kind, *(_setting(part, depth + 1) for part in parts))
    try:
        hash(value)
    except TypeError:
        return id(value)
    return (kind, value)  # the same configuration, the same function: what is equal


def _owners(module: nn.Module) -> dict[int, int]:
    """How often each memory is named in the whole module."""
    counts: dict[int, int] = {}
    for _, part in named_parts(module):
        for tensor in (*part._parameters.values(), *part._buffers.values()):
            if tensor is not None and tensor.layout == torch.strided:
                key = tensor.untyped_storage()._cdata
                counts[key] = counts.get(key, 0) + 1
    return counts


def _apart(layers: Sequence[nn.Module], owners: Mapping[int, int]) -> bool:
    """Whether the layers share no memory and no part, with each other or with the rest."""
    parts = [id(part) for layer in layers for _, part in named_parts(layer)]
    tensors = (t for layer in layers for _, t in named_tensors(layer) if t.layout == torch.strided)
    return len(parts) == len(set(parts)) and all(owners[t.untyped_storage()._cdata] == 1 for t in tensors)


def _remember(layers: Sequence[nn.Module], numbers: frozenset[str]) -> bool:
    return any(remembers(kind, numbers) for kind in {type(part) for layer in layers for _, part in named_parts(layer)})
