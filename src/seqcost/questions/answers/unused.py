"""Parameters that took part in no operator of a trace, told by the outermost module of which that is true.

A part that was given no input (the eye of a model that reads images), that another phase runs (an encoder, in a step of
decoding), or that no token was sent to (an expert) is missing from every other number of the count.
"""

from collections.abc import Mapping
from typing import Any


def unused_rows(
    unused: Mapping[str, int], weights: Mapping[str, tuple[int, ...]], params: int
) -> tuple[Mapping[str, Any], ...]:
    """Rows of a path, its unused parameters and their share of all; `weights` are the shapes of all parameters.

    A path is that of a module whose parameters are all unused, the outermost one, else that of the parameter.
    """
    used = {
        path for name, shape in weights.items() if name not in unused and 0 not in shape for path in _paths_to(name)
    }
    found: dict[str, int] = {}
    for name, num in unused.items():
        if num:
            path = next((path for path in _paths_to(name) if path not in used), name)
            found[path] = found.get(path, 0) + num
    return tuple({"path": path, "params": num, "share": num / params} for path, num in found.items())


def _paths_to(name: str) -> list[str]:
    """From the module itself to the parameter: "", "a", "a.b", "a.b.weight"."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(len(parts) + 1)]
