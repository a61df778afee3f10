"""Whether a transform of torch.func is at work, for what has a form of its own under it."""

import torch


def transformed() -> bool:
    """Under any transform: grad, vmap, jvp and what is made of them."""
    return not torch.compiler.is_compiling() and bool(torch._C._are_functorch_transforms_active())


def mapped() -> bool:
    """Under vmap, at whatever depth."""
    if not transformed():
        return False
    levels = torch._C._functorch.get_interpreter_stack() or ()
    return any(level.key() == torch._C._functorch.TransformType.Vmap for level in levels)
