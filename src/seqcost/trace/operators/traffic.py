"""Bytes that an operator reads and writes: each distinct operand once, each result once.

A dimension of stride 0 (expanded) is read once. Tensors that are changed in place are read and written, those that
are only overwritten are written. Look-ups and gathers read the rows they take, not the whole table. Views, shapes
and uninitialised memory move nothing. This is the least traffic a kernel can have, not what a cache misses.
"""

from collections.abc import Sequence
from typing import Any

import torch

from seqcost.fakes.schemas import base_name

OVERWRITTEN = frozenset(
    f"aten::{name}" for name in ("copy", "fill", "zero", "normal", "uniform", "bernoulli", "random", "exponential")
)
UNINITIALISED = frozenset(
    f"aten::{name}"
    for name in (
        "empty",
        "empty_like",
        "empty_strided",
        "new_empty",
        "new_empty_strided",
        "empty_permuted",
        "resize",
        "set",
    )
)
# Operators that take rows of their first operand: they read as much of it as they write.
_LOOKED_UP = frozenset(
    f"aten::{name}" for name in ("embedding", "index", "index_select", "gather", "take", "_unsafe_index")
)
# Operators that take one element of each row of their first operand, which the second names.
_PICKED = frozenset({"aten::nll_loss_forward", "aten::nll_loss2d_forward"})
# Operators that ask their first operand for its shape only.
_SHAPED = frozenset(
    f"aten::{name}"
    for name in ("zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "new_zeros", "new_ones", "new_full")
)
# Operators that touch rows of their first operand in place: as many as they are given.
_SCATTERED = frozenset(
    f"aten::{name}" for name in ("index_put", "_index_put_impl", "index_add", "index_copy", "scatter", "scatter_add")
)


def tensor_bytes(tensor: torch.Tensor) -> Any:
    """Bytes of the distinct elements a tensor shows."""
    elements: Any = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        if stride != 0:
            elements = elements * size
        elif size == 0:
            return 0
    return elements * tensor.element_size()


def moved_bytes(
    operator: Any, operands: Sequence[torch.Tensor], changed: Sequence[torch.Tensor], results: Sequence[torch.Tensor]
) -> Any:
    """Bytes read and written by one call.

    Parameters
    ----------
    operator
        The overload that was called.
    operands
        Every tensor among its arguments.
    changed
        Those of them that it writes to.
    results
        The tensors that it returns and that are new.

    """
    name = base_name(operator)
    if name in UNINITIALISED:
        return 0
    written: Any = sum(tensor_bytes(t) for t in results)
    if name in _SCATTERED and changed:
        given = sum(tensor_bytes(t) for t in operands if t is not changed[0])
        return given + 2 * tensor_bytes(operands[-1])
    written += sum(tensor_bytes(t) for t in changed)
    overwritten = changed if name in OVERWRITTEN else ()
    read: Any = 0
    for position, tensor in enumerate(operands):
        if any(tensor is t for t in overwritten) or any(_same(tensor, t) for t in operands[:position]):
            continue
        if position == 0 and name in _SHAPED:
            continue
        if position == 0 and name in _PICKED:
            read += operands[1].numel() * tensor.element_size()
        elif position == 0 and name in _LOOKED_UP:
            read += sum(tensor_bytes(t) for t in results[:1])
        else:
            read += tensor_bytes(tensor)
    return read + written


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors show the same elements of the same memory."""
    return a is b or (
        a.untyped_storage()._cdata == b.untyped_storage()._cdata
        and a.storage_offset() == b.storage_offset()
        and a.shape == b.shape
        and a.stride() == b.stride()
    )
