"""Where a real run writes into a tensor, and a traced one is handed the operator that makes a new tensor.

PyTorch does so wherever a tensor is, or may be, a subclass, and under a dispatch mode every tensor may be:

- `linear` adds its bias to the product (aten/src/ATen/native/Linear.cpp);
- the gradients of a tensor that was used twice are summed into the first (torch/csrc/autograd/input_buffer.cpp);
- formulas of autograd fill the zeros that they have just made (torch/csrc/autograd/FunctionsManual.cpp).

Such an operator is turned back into the one in place. A module's own `a + b` is told apart by who called: autograd's
engine, which stands on the stack, and no code of the module's. Nothing is kept alive for it, because a tensor that
somebody else holds is not written into: the engine then makes a copy.
"""

import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import _engine_run_backward

_ATEN = torch.ops.aten
# Use counts, seen from inside a dispatch mode, of a tensor and a storage that nothing else holds.
_UNSHARED_TENSOR, _UNSHARED_STORAGE = 4, 2
_PRODUCTS = (_ATEN.mm.default, _ATEN.bmm.default, _ATEN._unsafe_view.default)
_ZEROS = (_ATEN.zeros.default, _ATEN.zeros_like.default, _ATEN.new_zeros.default)
_FILLING = {
    _ATEN.index_put.default: _ATEN.index_put_.default,
    _ATEN.index_add.default: _ATEN.index_add_.default,
    _ATEN.index_fill.int_Scalar: _ATEN.index_fill_.int_Scalar,
    _ATEN.masked_scatter.default: _ATEN.masked_scatter_.default,
    _ATEN.put.default: _ATEN.put_.default,
    _ATEN.scatter.src: _ATEN.scatter_.src,
    _ATEN.scatter_add.default: _ATEN.scatter_add_.default,
}


class InPlace:
    """Remembers the operator before, without a reference to what it returned."""

    def __init__(self) -> None:
        self._before: Any = None
        self._result: Callable[[], Any] = _nothing
        self._caller: tuple[int, int] | None = None

    def note(self, operator: Any, out: Any) -> None:
        """An operator ran."""
        self._before = operator
        if operator in _PRODUCTS or operator in _ZEROS:
            self._result, self._caller = weakref.ref(out), _instruction(_caller())

    def writes(self, operator: Any, args: Any, kwargs: Any) -> Any:
        """The operator in place that a real run would call instead, or None."""
        if operator is _ATEN.add.Tensor:
            summed = not kwargs and isinstance(args[1], Tensor) and (self._is_biased(*args) or _is_summed(*args))
            return _ATEN.add_.Tensor if summed else None
        filling = _FILLING.get(operator)
        if filling is None or self._before not in _ZEROS or self._result() is not args[0]:
            return None
        return filling if _holders_of_memory(args[0]) == _UNSHARED_STORAGE and _is_engine(_caller()) else None

    def _is_biased(self, product: Tensor, bias: Tensor) -> bool:
        """Whether one call of `linear` made both: its product and, from the same instruction, this sum."""
        return (
            bias.dim() == 1
            and product.dim() > 2
            and self._before in _PRODUCTS
            and _is_unshared(product)
            and self._result() is product
            and self._caller == _instruction(_caller())
        )


def _nothing() -> None:
    return None


def _is_summed(total: Tensor, other: Tensor) -> bool:
    """Whether the engine adds to a gradient that nobody else holds."""
    return (
        not torch.is_grad_enabled()
        and torch._C._current_autograd_node() is not None
        and total.shape == other.shape
        and total.dtype == other.dtype
        and _is_unshared(total)
        and torch._prims_common.is_non_overlapping_and_dense_or_false(total)
        and _is_engine(_caller())
    )


def _is_unshared(tensor: Tensor) -> bool:
    count: int = tensor._use_count()  # type: ignore[attr-defined]
    return count == _UNSHARED_TENSOR and _holders_of_memory(tensor) == _UNSHARED_STORAGE


def _holders_of_memory(tensor: Tensor) -> int:
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata)


def _caller() -> FrameType | None:
    """The frame from which an operator was called, if it was not from the book."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") in _OF_THE_BOOK:
        frame = frame.f_back
    return frame


_OF_THE_BOOK = (__name__, "seqcost.trace.ledger")


def _is_engine(frame: FrameType | None) -> bool:
    return frame is not None and frame.f_code is _engine_run_backward.__code__


def _instruction(frame: FrameType | None) -> tuple[int, int]:
    return (0, 0) if frame is None else (id(frame), frame.f_lasti)
