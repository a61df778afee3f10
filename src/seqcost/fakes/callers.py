"""Who called an operator, and who else holds what it was given, as seen from inside a dispatch mode."""

import sys
from types import FrameType

import torch
from torch import Tensor
from torch.autograd.graph import _engine_run_backward

# Use counts, seen from inside a dispatch mode, of a tensor and a storage that nothing else holds.
_UNSHARED_TENSOR, _UNSHARED_STORAGE = 4, 2
_OF_THE_BOOK = (*(f"seqcost.fakes.{name}" for name in ("callers", "in_place", "replays")), "seqcost.trace.book.ledger")


def calling_frame() -> FrameType | None:
    """The innermost frame that is not of the book itself."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in _OF_THE_BOOK:
        frame = frame.f_back
    return frame


def calling_instruction() -> tuple[int, int]:
    """The instruction that called: what several operators have in common that one call of Python made."""
    frame = calling_frame()
    return (0, 0) if frame is None else (id(frame), frame.f_lasti)


def called_by_autograd() -> bool:
    """Whether autograd's engine called, and neither the module's code nor a backward pass of its own."""
    frame = calling_frame()
    return frame is not None and frame.f_code is _engine_run_backward.__code__


def has_own_memory(tensor: Tensor) -> bool:
    """Whether no other tensor lies in its memory."""
    return torch._C._storage_Use_Count(tensor.untyped_storage()._cdata) == _UNSHARED_STORAGE


def is_unshared(tensor: Tensor) -> bool:
    """Whether nobody else holds the tensor or its memory."""
    count: int = tensor._use_count()  # type: ignore[attr-defined]
    return count == _UNSHARED_TENSOR and has_own_memory(tensor)
