"""The parameters of a module: their shapes, and which of them a training step trains. One memory counts once."""

from typing import Any

from torch import nn

from seqcost.fakes.parts import named_parameters, named_parts
from seqcost.fakes.places import place_of
from seqcost.programs.files.replayed import Replayed


def parameter_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of the parameters by name, a shared one once; of a packed weight [N, K], without what unpacks it."""
    found: dict[str, tuple[int, ...]] = {}
    parts = dict(named_parts(module))
    for name, parameter in _first_names(module).items():
        path, _, last = name.rpartition(".")
        part = parts.get(path)
        stands_for: dict[str, tuple[int, ...]] = getattr(part, "stands_for", {})
        if last in stands_for:
            found[name] = stands_for[last]
        elif last not in getattr(part, "stored_names", ()):
            found[name] = tuple(parameter.shape)
    return found


def trained(module: nn.Module) -> frozenset[str] | None:
    """Those of `parameter_shapes` that get gradients, under any of their names; None where the module cannot tell."""
    if isinstance(module, Replayed) and module.trains_unknown:
        return None
    places = {place_of(parameter) for parameter in (p for _, p in named_parameters(module)) if parameter.requires_grad}
    return frozenset(name for name, parameter in _first_names(module).items() if place_of(parameter) in places)


def _first_names(module: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters by the first of their names."""
    found: dict[Any, tuple[str, nn.Parameter]] = {}
    for name, parameter in named_parameters(module):
        found.setdefault(place_of(parameter), (name, parameter))
    return dict(found.values())
