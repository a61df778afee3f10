"""Deep copies of modules that PyTorch and Python cannot copy by themselves: locks inside, scripted parts."""

import copy
from typing import Any

import torch
from torch import nn


def deep_copy(value: Any) -> Any:
    """A deep copy; what cannot be copied (a lock) is shared, and a scripted part gets parameters of its own."""
    try:
        made = copy.deepcopy(value)
    except TypeError:
        made = copy.deepcopy(value, _shared(value))
    if isinstance(made, nn.Module):
        for part in made.modules():
            if isinstance(part, torch.jit.ScriptModule):
                _with_leaves(part)
    return made


def _shared(value: Any) -> dict[int, Any]:
    """A memo that leaves every attribute of a module that refuses to be copied as it is."""
    memo: dict[int, Any] = {}
    for part in value.modules() if isinstance(value, nn.Module) else ():
        for attribute in vars(part).values():
            try:
                copy.deepcopy(attribute, dict(memo))
            except TypeError:
                if not isinstance(attribute, dict):  # parts and parameters: their own turn comes
                    memo[id(attribute)] = attribute
    return memo


def _with_leaves(part: torch.jit.ScriptModule) -> None:
    """Put parameters that collect gradients where TorchScript's copy has results of the old ones."""
    for name, parameter in list(part.named_parameters(recurse=False)):
        if not parameter.is_leaf:
            setattr(part, name, nn.Parameter(parameter.detach(), parameter.requires_grad))
