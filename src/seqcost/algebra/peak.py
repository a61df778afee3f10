"""What memory consists of at the peak: bytes by what they are for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

CATEGORIES = (
    "parameters", "buffers", "inputs", "state", "optimizer_state", "gradients", "saved_activations", "temporaries",
)  # fmt: skip
_NUMBER = re.compile(r"\.\d+(?=\.|$)")
SAVED, TEMPORARY, GRADIENTS = "saved_activations", "temporaries", "gradients"


@dataclass(frozen=True, kw_only=True)
class Held:
    """Tensors alive at the peak that are alike: of one category, made in one place, of one shape.

    `name` is the operator, or the line of a formula, that made them, in the module `path`; `times` how many there are,
    where they are not one.
    """

    name: str
    path: str
    category: str
    shape: tuple[int, ...]
    num_bytes: int  # of all of them
    times: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "path": self.path,
            "category": self.category,
            "shape": list(self.shape),
            "bytes": self.num_bytes,
            "times": self.times,
        }


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """Bytes alive at the worst moment of a step.

    `categories` has parameters, buffers, inputs, state (carried while decoding), optimizer_state, gradients,
    saved_activations and temporaries (everything else, what the kernel of the moment holds included); they add up to
    `peak_bytes`. `saved_by_module` divides the saved activations by the path of the module that made them. `operator`,
    `path` and `phase` say when; `index` too, into the timeline of a trace (None by formula, which has no timeline).
    `tensors` are those alive then that the run made, the largest first, where they were told apart.
    """

    peak_bytes: int
    categories: Mapping[str, int]
    saved_by_module: Mapping[str, int]
    operator: str
    path: str
    phase: str
    index: int | None = None
    tensors: tuple[Held, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        at = {"operator": self.operator, "path": self.path, "phase": self.phase, "index": self.index}
        return {
            "peak_bytes": self.peak_bytes,
            "categories": dict(self.categories),
            "saved_by_module": dict(self.saved_by_module),
            "at": at,
        }


def alike(tensors: Iterable[Held], most: int) -> tuple[Held, ...]:
    """The largest of tensors, those of numbered layers (`blocks.0.up`, `blocks.1.up`) together as of `blocks.*.up`."""
    found: dict[tuple[Any, ...], Held] = {}
    for held in tensors:
        path = _NUMBER.sub(".*", held.path)
        key = (held.name, path, held.category, held.shape)
        before = found.get(key)
        size, times = (0, 0) if before is None else (before.num_bytes, before.times)
        found[key] = replace(held, path=path, num_bytes=size + held.num_bytes, times=times + held.times)
    return tuple(sorted(found.values(), key=lambda held: -held.num_bytes)[:most])


def largest_first(saved: Mapping[str, int]) -> dict[str, int]:
    """Saved activations by module, the largest first, modules without any left out."""
    return dict(sorted(((path, size) for path, size in saved.items() if size), key=lambda item: -item[1]))
