"""The allocator's view of a traced run: what is alive, and the most that ever was.

Every storage that an operator makes is counted until it dies; the run on fake tensors frees what the real run
frees, at the same point, because the same Python and autograd references hold it. Memory that a kernel takes and
gives back inside one call never becomes a tensor: `temporaries` has its size.
"""

import weakref
from typing import Any

import torch

from seqcost.algebra.peak import SAVED, TEMPORARY
from seqcost.trace.book.book import Book
from seqcost.trace.book.history import Storage


class Memory:
    """Storages by identity; the book has what is alive, resident ones included."""

    def __init__(self, book: Book | None = None) -> None:
        self.book = book or Book()
        self.blocks: dict[int, Storage] = {}

    @property
    def live_bytes(self) -> Any:
        """Bytes alive now."""
        return self.book.live_bytes

    def is_new(self, tensor: torch.Tensor) -> bool:
        """Whether nothing known lies in the tensor's memory."""
        return tensor.untyped_storage()._cdata not in self.blocks

    def hold(self, tensor: torch.Tensor, category: str = TEMPORARY, path: str = "") -> Storage:
        """Count a tensor's memory, if it is new, until it dies."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.blocks:
            return self.blocks[key]
        block = Storage(storage.nbytes(), category=category, path=path, shape=tensor.shape)
        self.book.come(block)
        self.adopt(storage, block)
        return block

    def adopt(self, storage: torch.UntypedStorage, block: Storage) -> None:
        """Know a storage as this block, until it dies."""
        key = storage._cdata
        self.blocks[key] = block
        block.watch = weakref.ref(storage, lambda _: self._free(key, block))

    def keep(self, tensor: torch.Tensor, path: str) -> None:
        """Hold a tensor that autograd keeps for backward."""
        self.book.keep(self.hold(tensor, SAVED, path), path)

    def accumulated(self, gradient: torch.Tensor | None) -> None:
        """A tensor has become the gradient of a parameter or an input."""
        if gradient is not None and (block := self.known(gradient)) is not None:
            self.book.accumulated(block)

    def known(self, tensor: torch.Tensor) -> Storage | None:
        """A tensor's block; None of a constant that was never an operator's result."""
        return self.blocks.get(tensor.untyped_storage()._cdata)

    def _free(self, key: int, block: Storage) -> None:
        if self.blocks.get(key) is block:
            del self.blocks[key]
            self.book.go(block)
