"""Where a real run writes into a tensor, and a traced one is handed the operator that makes a new tensor.

PyTorch does so wherever a tensor is, or may be, a subclass, and under a dispatch mode every tensor may be:

- `linear` adds its bias to the product (aten/src/ATen/native/Linear.cpp);
- the gradients of a tensor that was used twice are summed into the first (torch/csrc/autograd/input_buffer.cpp);
- formulas of autograd fill the zeros that they have just made (torch/csrc/autograd/FunctionsManual.cpp).

Such an operator is turned back into the one in place. A module's own `a + b` is told apart by who called: autograd's
engine, which stands on the stack, and no code of the module's. Nothing is kept alive for it, because a tensor that
somebody else holds is not written into: the engine then makes a copy.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from seqcost.fakes.callers import called_by_autograd, calling_instruction, has_own_memory, is_unshared

_ATEN = torch.ops.aten
_PRODUCTS = (_ATEN.mm.default, _ATEN.bmm.default, _ATEN._unsafe_view.default)
_ZEROS = (_ATEN.zeros.default, _ATEN.zeros_like.default, _ATEN.new_zeros.default)
_FILLING = {
    _ATEN.index_put.default: _ATEN.index_put_.default,
    _ATEN.index_add.default: _ATEN.index_add_.default,
    _ATEN.index_fill.int_Scalar: _ATEN.index_fill_.int_Scalar,
    _ATEN.index_fill.int_Tensor: _ATEN.index_fill_.int_Tensor,
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
        if operator is _ATEN.arange.start_step and self._before in _ZEROS:
            return  # places that are counted between the zeros and what fills them (`trace_backward_symint`)
        self._before = operator
        if operator in _PRODUCTS or operator in _ZEROS:
            self._result, self._caller = weakref.ref(out), calling_instruction()

    def writes(self, operator: Any, args: Any, kwargs: Any) -> Any:
        """The operator in place that a real run would call instead, or None."""
        if operator is _ATEN.add.Tensor:
            summed = not kwargs and isinstance(args[1], Tensor) and (self._is_biased(*args) or _is_summed(*args))
            return _ATEN.add_.Tensor if summed else None
        filling = _FILLING.get(operator)
        if filling is None or self._before not in _ZEROS or self._result() is not args[0]:
            return None
        return filling if has_own_memory(args[0]) and called_by_autograd() else None

    def _is_biased(self, product: Tensor, bias: Tensor) -> bool:
        """Whether one call of `linear` made both: its product and, from the same instruction, this sum."""
        return (
            bias.dim() == 1
            and product.dim() > 2
            and self._before in _PRODUCTS
            and is_unshared(product)
            and self._result() is product
            and self._caller == calling_instruction()
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
        and is_unshared(total)
        and torch._prims_common.is_non_overlapping_and_dense_or_false(total)
        and called_by_autograd()
    )
