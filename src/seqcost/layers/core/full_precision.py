"""Engines outside autocast: what they sum up over a text stays in float32 at least.

Under `torch.autocast` a product of float32 tensors is computed in bfloat16 or float16. Projections may be; a state that
every token adds to may not, and neither may the operators of a backward pass that is written by hand.
"""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(engine: Callable[P, R]) -> Callable[P, R]:
    """The engine with autocast off, on the device of the first tensor that it is given."""

    @functools.wraps(engine)
    def outside(*args: P.args, **kwargs: P.kwargs) -> R:
        device = _device_of(args)
        if device in (None, "meta") or not torch.is_autocast_enabled(device):
            return engine(*args, **kwargs)
        with torch.autocast(device, enabled=False):
            return engine(*args, **kwargs)

    return outside


def _device_of(args: tuple[Any, ...]) -> str | None:
    """Of the first tensor among the arguments, or in tuples of them; None: gradients that nobody asked for."""
    for arg in args:
        if isinstance(arg, Tensor):
            return arg.device.type
        if isinstance(arg, tuple | list) and arg:
            return _device_of(tuple(arg))
    return None
