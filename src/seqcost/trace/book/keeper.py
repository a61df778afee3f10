"""What autograd keeps for backward: distinct storages, parameters and buffers excepted, by module.

Counted is what the graph still holds at the end of the forward pass. What only a result needs that was dropped on the
way (a branch, a state that is not carried on) is gone by then; what `torch.autograd.grad(..., create_graph=True)` keeps
within the forward pass is there. What the backward pass keeps meanwhile, where it runs a part of the forward pass
again, counts for the peak of memory only.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.graph import saved_tensors_hooks

from seqcost.fakes.threads import replaced
from seqcost.trace.book.paths import BACKWARD, Paths


def without_its_node(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory without the node that made it: a node that keeps its own result would otherwise never die."""
    if type(tensor) not in (torch.Tensor, FakeTensor):
        return tensor.detach()
    with torch._C._DisableTorchDispatch():  # ten times faster
        alias = tensor.detach()
    return FakeTensor(tensor.fake_mode, alias, tensor.fake_device) if isinstance(tensor, FakeTensor) else alias


class _Kept:
    """What a node of the graph holds in place of a tensor; it goes when the node goes."""

    __slots__ = ("__weakref__", "path", "tensor")

    def __init__(self, tensor: torch.Tensor, path: str) -> None:
        self.tensor, self.path = tensor, path


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
        self._weights = {t.untyped_storage()._cdata for t in weights}
        self._packed: list[weakref.ref[_Kept]] = []
        self._settled = False
        self.blind = False  # whether a transform of torch.func ran, inside which PyTorch allows no look at what is kept

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Book what is kept inside."""
        with self._paths.following(), saved_tensors_hooks(self._keep, self._give_back), self._stepping_aside():
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
                        torch._C._autograd._push_saved_tensors_default_hooks(self._keep, self._give_back)

            return aside

        with replaced(torch.autograd.graph, "disable_saved_tensors_hooks", stepping):
            yield

    def settle(self) -> None:
        """The forward pass is over: what is held now is what it keeps."""
        self._settled = True
        counted = set(self._weights)
        for reference in self._packed:
            kept = reference()
            if kept is None:
                continue
            storage = kept.tensor.untyped_storage()
            if storage._cdata not in counted:
                counted.add(storage._cdata)
                self.saved[kept.path] = self.saved.get(kept.path, 0) + storage.nbytes()
        self._packed.clear()

    def _keep(self, tensor: torch.Tensor) -> _Kept:
        path, direction = self._paths.now()
        if self._on_tensor:
            self._on_tensor(tensor, path)
        kept = _Kept(tensor if tensor.is_leaf else without_its_node(tensor), path)
        if not self._settled and (direction != BACKWARD or self._paths.within_forward):
            self._packed.append(weakref.ref(kept))
        return kept

    def _give_back(self, kept: _Kept) -> torch.Tensor:
        if not self._settled and not self._paths.within_forward:
            self.settle()  # backward asks for the first tensor; no node is gone yet
        return kept.tensor
