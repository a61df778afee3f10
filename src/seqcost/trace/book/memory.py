"""The allocator's view of a traced run: what is alive, and the most that ever was.

Every storage that an operator makes is counted until it dies; the run on fake tensors frees what the real run
frees, at the same point, because the same Python and autograd references hold it. Memory that a kernel takes and
gives back inside one call never becomes a tensor: `temporaries` has its size.
"""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from seqcost.trace.book.history import GRADIENTS, SAVED, TEMPORARY, History, Storage


@dataclass
class Memory:
    """Storages by identity, the bytes alive now and at the worst moment, resident ones included."""

    live_bytes: Any = 0
    peak_bytes: Any = 0
    blocks: dict[int, Storage] = field(default_factory=dict)
    history: History | None = None  # kept only where it is asked for: it grows with every operator

    def is_new(self, tensor: torch.Tensor) -> bool:
        """Whether nothing known lies in the tensor's memory."""
        return tensor.untyped_storage()._cdata not in self.blocks

    def hold(self, tensor: torch.Tensor, category: str = TEMPORARY, path: str = "") -> Storage:
        """Count a tensor's memory, if it is new, until it dies."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.blocks:
            return self.blocks[key]
        block = Storage(storage.nbytes(), category=category, path=path)
        self.blocks[key] = block
        self.live_bytes += block.num_bytes
        if self.history is not None:
            self.history.come(block)
        block.watch = weakref.ref(storage, lambda _: self._free(key, block))
        return block

    def keep(self, tensor: torch.Tensor, path: str) -> None:
        """Hold a tensor that autograd keeps for backward."""
        block = self.hold(tensor, SAVED, path)
        if block.category == TEMPORARY:
            block.category, block.path = SAVED, block.path or path

    def accumulated(self, gradient: torch.Tensor | None) -> None:
        """A tensor has become the gradient of a parameter or an input."""
        if gradient is not None and (block := self.block(gradient)).category == TEMPORARY:
            block.category = GRADIENTS

    def use(self, tensors: Iterable[torch.Tensor]) -> None:
        """An operator reads or writes these."""
        for tensor in tensors:
            block = self.blocks.get(tensor.untyped_storage()._cdata)
            if block is not None:
                block.used = True

    def block(self, tensor: torch.Tensor) -> Storage:
        """What is known about a tensor's memory; nothing about a constant that was never an operator's result."""
        return self.blocks.get(tensor.untyped_storage()._cdata) or Storage(0)

    def mark_peak(self, temporary_bytes: Any = 0) -> Any:
        """Bytes of this moment, with what the running kernel holds besides its tensors; the worst one is kept."""
        now = self.live_bytes + temporary_bytes
        self.peak_bytes = max(self.peak_bytes, now)
        return now

    def _free(self, key: int, block: Storage) -> None:
        if self.blocks.get(key) is block:
            del self.blocks[key]
            self.live_bytes -= block.num_bytes
            block.alive = False
            if self.history is not None:
                self.history.go(block)
