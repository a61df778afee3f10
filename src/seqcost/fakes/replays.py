"""Gradients of views that were written into: autograd goes another way for fake tensors than for real ones.

Writing into a view (`linear(x).relu_()`) gives the view a new history. On real tensors that is one node with a rule
for strides, which copies the gradient into zeros of the size of the whole (torch/csrc/autograd/FunctionsManual.cpp
`as_strided_backward`). On fake tensors the view is made once more (torch/csrc/autograd/variable.cpp `gradient_edge`),
and its rule passes the gradient on without a copy. The copy is made before that rule. A part of a tensor needs none:
its own rule makes zeros of the size of the whole. Missed is the copy for a view that lies over one that was written
into and is itself used afterwards.
"""

import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from seqcost.fakes.callers import calling_instruction


class Replays:
    """Remembers the view that was written into just now, without a reference to it."""

    def __init__(self) -> None:
        self._view: Callable[[], Any] | None = None
        self._writer: tuple[int, int] = (0, 0)

    def note(self, operator: Any, args: Any) -> None:
        """An operator runs; `args` are its arguments."""
        if self._view is not None:
            if operator.is_view and self._writer == calling_instruction():
                return  # the view is being made once more
            view, self._view = self._view(), None
            if view is not None and view.grad_fn is not None:
                view.grad_fn.register_prehook(_copied_into_zeros)
        if _writes_its_first(operator) and torch.is_grad_enabled() and _is_whole_view(args[0]):
            self._view, self._writer = weakref.ref(args[0]), calling_instruction()


def _copied_into_zeros(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple([g if g is None else g.new_zeros(g.shape).copy_(g) for g in gradients])


@cache
def _writes_its_first(operator: Any) -> bool:
    arguments = operator._schema.arguments
    return bool(arguments) and arguments[0].alias_info is not None and arguments[0].alias_info.is_write


def _is_whole_view(tensor: Any) -> bool:
    whole = tensor._base if isinstance(tensor, FakeTensor) and tensor._is_view() else None
    return whole is not None and tensor.numel() == whole.numel()
