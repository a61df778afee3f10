"""Whether a transform of torch.func or a compiler is at work, for what has a form of its own under it."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """`torch.compiler.disable` that loads the compiler, a second and 110 MiB, only where something is compiled."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not torch.compiler.is_compiling():
            return function(*args, **kwargs)
        apart: Callable[P, R] = torch.compiler.disable(function)
        return apart(*args, **kwargs)

    return call


def transformed() -> bool:
    """Under any transform: grad, vmap, jvp and what is made of them."""
    return not torch.compiler.is_compiling() and bool(torch._C._are_functorch_transforms_active())


def mapped() -> bool:
    """Under vmap, at whatever depth."""
    if not transformed():
        return False
    levels = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in levels)
