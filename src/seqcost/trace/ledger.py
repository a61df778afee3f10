"""The book in which every operator of a run is written down: FLOPs, bytes, depth, module, memory.

A dispatch mode below autograd: it sees the operators that the CPU executes, forward and backward, with the modules'
own code and PyTorch's autograd deciding which. It works alike on fake, symbolic and real tensors.

Depth is the longest chain of dependent operators, followed through storages: an operator is one step, a fused
recurrence as many as it has time steps, a view none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode

from seqcost.trace.contractions import cell_steps
from seqcost.trace.cpu_kernels import DECOMPOSITIONS, SUBSTITUTES, adds_in_place
from seqcost.trace.memory import Memory
from seqcost.trace.operators import base_name, costs_of
from seqcost.trace.paths import Paths
from seqcost.trace.temporaries import temporary_bytes
from seqcost.trace.traffic import moved_bytes, tensor_bytes

_DEVICE = torch.ops.prim.device.default
_FUSED_RECURRENCES = ("aten::mkldnn_rnn_layer", "aten::mkldnn_rnn_layer_backward")


@dataclass(slots=True)
class Entry:
    """All calls of one operator by one module in one direction."""

    calls: int = 0
    contraction: Any = 0
    pointwise: Any = 0
    moved_bytes: Any = 0
    alive_bytes: list[Any] = field(default_factory=list)  # during each call
    known: bool = True


Key = tuple[bool, str, str]  # backward?, module path, operator


class Ledger(TorchDispatchMode):
    """Use as a context: everything that runs inside is booked."""

    def __init__(self, paths: Paths, memory: Memory, resident: list[torch.Tensor]) -> None:
        super().__init__()
        self.entries: dict[Key, Entry] = {}
        self.saved: dict[str, Any] = {}
        self.depth: Any = 0
        self.memory = memory
        self._paths = paths
        self._saved_storages: set[int] = set()
        self._parameters: set[int] = set()
        self._last: Any = None  # result of the operator before
        for tensor in resident:
            memory.hold(tensor)
        memory.mark_peak()

    @contextmanager
    def booking(self, weights: list[torch.Tensor]) -> Iterator[None]:
        """Book a run; what autograd keeps is booked too, `weights` excepted."""
        self._parameters = {t.untyped_storage()._cdata for t in weights}
        with self._paths.following(), saved_tensors_hooks(self._keep, lambda kept: kept), self:
            yield

    @property
    def num_calls(self) -> int:
        """Operators executed."""
        return sum(entry.calls for entry in self.entries.values())

    def total(self, what: str) -> Any:
        """Sum of one column: contraction, pointwise or moved_bytes."""
        return sum((getattr(entry, what) for entry in self.entries.values()), start=0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is _DEVICE:  # autograd asks for every tensor; a fake tensor knows
            return getattr(args[0], "fake_device", None) or args[0].device
        kwargs = kwargs or {}
        if func in DECOMPOSITIONS:
            with self:
                return DECOMPOSITIONS[func](*args, **kwargs)
        if adds_in_place(func, args, kwargs, self._last):
            with self:
                return args[0].add_(args[1]).view_as(args[0])
        if func in SUBSTITUTES:
            out = SUBSTITUTES[func](func, args, kwargs)
        else:
            if not costs_of(func).known:
                with self:
                    out = func.decompose(*args, **kwargs)
                if out is not NotImplemented:
                    return out
            out = func(*args, **kwargs)
        self._book(func, args, kwargs, out)
        self._last = out
        return out

    def _book(self, func: Any, args: Any, kwargs: Any, out: Any) -> None:
        operands = list(_tensors((args, kwargs)))
        returned = list(_tensors(out))
        new = []
        for tensor in returned:
            if self.memory.find(tensor) is None:
                self.memory.find(tensor, resident=True)
                new.append(tensor)
        changed = [args[i] if isinstance(i, int) else kwargs.get(i) for i in _written_positions(func)]
        changed = [t for t in _tensors(changed)]
        fresh = [t for t in new if not any(t is operand for operand in operands)]
        if (not fresh and not changed) or torch.Tag.inplace_view in func.tags:
            return
        alive = self.memory.mark_peak(temporary_bytes(func, args, kwargs, out))
        self._follow_depth(func, args, operands, fresh, changed)
        costs = costs_of(func)
        kwargs = {name: value for name, value in kwargs.items() if name != "out"}
        path, backward = self._paths.now()
        key = (backward, path, base_name(func))
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = Entry(known=costs.known)
        entry.calls += 1
        entry.alive_bytes.append(alive)
        entry.moved_bytes += moved_bytes(func, operands, changed, fresh)
        if costs.contraction is not None:
            entry.contraction += costs.contraction(*args, out=out, **kwargs)
        if costs.pointwise is not None:
            entry.pointwise += costs.pointwise(*args, out=out, **kwargs)

    def _follow_depth(self, func: Any, args: Any, operands: Any, fresh: Any, changed: Any) -> None:
        steps = cell_steps(args[0]) if base_name(func) in _FUSED_RECURRENCES else 1
        blocks = [block for block in map(self.memory.find, operands) if block is not None]
        depth = steps + max((block.depth for block in blocks), default=0)
        for tensor in (*fresh, *changed):
            block = self.memory.find(tensor)
            if block is not None:
                block.depth = max(block.depth, depth)
        self.depth = max(self.depth, depth)

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        key = storage._cdata
        self.memory.find(tensor, resident=True)  # a number that autograd wrapped was made by no operator
        if key not in self._saved_storages and key not in self._parameters:
            # Kept storages live until backward, so the identity stays theirs until the forward pass has ended.
            self._saved_storages.add(key)
            path, _ = self._paths.now()
            self.saved[path] = self.saved.get(path, 0) + storage.nbytes()
        return tensor


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)


@cache
def _written_positions(func: Any) -> tuple[Any, ...]:
    arguments = func._schema.arguments
    written = []
    for position, argument in enumerate(arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            written.append(argument.name if argument.kwarg_only else position)
    return tuple(written)


__all__ = ["Entry", "Key", "Ledger", "tensor_bytes"]
