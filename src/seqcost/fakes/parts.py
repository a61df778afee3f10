"""Parts, parameters and buffers of a module by name, as `torch.nn` names them, in one walk without recursion.

`named_modules` hands every name through as many generators as its module lies deep: of a model of 126 layers, asked
ten times a run, that was a third of a trace.
"""

from collections.abc import Iterator

from torch import Tensor, nn


def named_parts(module: nn.Module, *, again: bool = False) -> list[tuple[str, nn.Module]]:
    """The module and all that is in it, outer ones first; one that has several names once, or `again` for each."""
    if type(module).named_modules is not nn.Module.named_modules:
        return list(module.named_modules(remove_duplicate=not again))
    found: list[tuple[str, nn.Module]] = []
    known: set[int] = set()
    left = [("", module)]
    while left:
        name, part = left.pop()
        if not again:
            if id(part) in known:
                continue
            known.add(id(part))
        found.append((name, part))
        start = name + "." if name else ""
        left += [(start + below, child) for below, child in reversed([*part._modules.items()]) if child is not None]
    return found


def named_parameters(module: nn.Module, *, again: bool = False) -> list[tuple[str, nn.Parameter]]:
    """Parameters by name; one that has several once, or `again` for each."""
    if type(module).named_parameters is not nn.Module.named_parameters:
        return list(module.named_parameters(remove_duplicate=not again))
    return list(_named(named_parts(module, again=again), "_parameters", again=again))  # type: ignore[arg-type]


def named_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters, then buffers, by name; one that has several once."""
    parts = named_parts(module)
    return [*_named(parts, "_parameters"), *_named(parts, "_buffers")]


def _named(parts: list[tuple[str, nn.Module]], kind: str, *, again: bool = False) -> Iterator[tuple[str, Tensor]]:
    known: set[int] = set()
    for path, part in parts:
        for name, tensor in vars(part)[kind].items() if kind in vars(part) else getattr(part, kind).items():
            if tensor is not None and (again or id(tensor) not in known):
                known.add(id(tensor))
                yield (f"{path}.{name}" if path else name), tensor
