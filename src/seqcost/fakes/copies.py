"""Deep copies of modules where those of Python and PyTorch fail: locks, scripted parts, parameters in one memory."""

import copy
from typing import Any

import torch
from torch import nn

from seqcost.fakes.places import place_of


def deep_copy(value: Any) -> Any:
    """A deep copy; what cannot be copied (a lock) is shared, and a scripted part gets parameters of its own.

    Parameters that lie in one memory (one of them frozen, say) do so in the copy, where PyTorch's would part them.
    """
    try:
        made = copy.deepcopy(value, _in_one_memory(value))
    except TypeError:
        made = copy.deepcopy(value, _shared(value))
    if isinstance(made, nn.Module):
        for part in made.modules():
            if isinstance(part, torch.jit.ScriptModule):
                _with_leaves(part)
    return made


def _in_one_memory(value: Any) -> dict[int, Any]:
    """A memo that has copies of the parameters that share their memory with another one."""
    together: dict[Any, list[nn.Parameter]] = {}
    for parameter in value.parameters() if isinstance(value, nn.Module) else ():
        if type(parameter) is nn.Parameter and not nn.parameter.is_lazy(parameter):
            together.setdefault(place_of(parameter), []).append(parameter)
    memo: dict[int, Any] = {}
    for parameters in together.values():
        if len(parameters) > 1:
            memory = copy.deepcopy(parameters[0].detach())
            memo |= {id(p): nn.Parameter(memory.detach(), requires_grad=p.requires_grad) for p in parameters}
    return memo


def _shared(value: Any) -> dict[int, Any]:
    """A memo that leaves every attribute of a module that refuses to be copied as it is."""
    memo = _in_one_memory(value)
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
