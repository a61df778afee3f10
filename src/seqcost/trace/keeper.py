"""What autograd keeps for backward: distinct storages, parameters and buffers excepted, by module.

What a backward pass keeps meanwhile, where it runs a part of the forward pass again, counts for the peak of memory
only.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from seqcost.trace.paths import BACKWARD, Paths
from seqcost.trace.threads import replaced


def without_its_node(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory without the node that made it: a node that keeps its own result would otherwise never die."""
    if type(tensor) not in (torch.Tensor, FakeTensor):
        return tensor.detach()
    with torch._C._DisableTorchDispatch():  # ten times faster
        alias = tensor.detach()
    return FakeTensor(tensor.fake_mode, alias, tensor.fake_device) if isinstance(tensor, FakeTensor) else alias


def _as_it_is(kept: torch.Tensor) -> torch.Tensor:
    return kept


class Keeper:
    """Books each tensor that autograd packs."""

    def __init__(
        self,
        paths: Paths,
        weights: Iterable[torch.Tensor],
        on_tensor: Callable[[torch.Tensor, str], None] | None = None,
    ) -> None:
        self.saved: dict[str, int] = {}
        self._paths = paths
        self._on_tensor = on_tensor
        self._known = {t.untyped_storage()._cdata for t in weights}
        # What only a discarded result would need (a state that is not carried on) dies early. A weak reference keeps
        # its identity from being given to another storage.
        self._seen: list[StorageWeakRef] = []
        self.blind = False  # whether a transform of torch.func ran, inside which PyTorch allows no look at what is kept

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Book what is kept inside."""
        with self._paths.following(), saved_tensors_hooks(self._keep, _as_it_is), self._stepping_aside():
            yield

    @contextmanager
    def _stepping_aside(self) -> Iterator[None]:
        """Take the hooks away while `torch.func.grad` and its like run, which refuse to run under any."""
        depth = 0

        def stepping(forbid: Any) -> Any:
            @contextmanager
            def aside(message: str) -> Iterator[None]:
                nonlocal depth
                self.blind, depth = True, depth + 1
                if depth == 1:
                    torch._C._autograd._pop_saved_tensors_default_hooks()
                try:
                    with forbid(message):
                        yield
                finally:
                    depth -= 1
                    if depth == 0:
                        torch._C._autograd._push_saved_tensors_default_hooks(self._keep, _as_it_is)

            return aside

        with replaced(torch.autograd.graph, "disable_saved_tensors_hooks", stepping):
            yield

    def _keep(self, tensor: torch.Tensor) -> torch.Tensor:
        path, direction = self._paths.now()
        if self._on_tensor:
            self._on_tensor(tensor, path)
        storage = tensor.untyped_storage()
        if direction != BACKWARD and storage._cdata not in self._known:
            self._known.add(storage._cdata)
            self._seen.append(StorageWeakRef(storage))
            self.saved[path] = self.saved.get(path, 0) + storage.nbytes()
        return tensor if tensor.is_leaf else without_its_node(tensor)
