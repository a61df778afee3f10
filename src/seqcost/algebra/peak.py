"""What memory consists of at the peak: bytes by what they are for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CATEGORIES = (
    "parameters", "buffers", "inputs", "state", "optimizer_state", "gradients", "saved_activations", "temporaries",
)  # fmt: skip
SAVED, TEMPORARY, GRADIENTS = "saved_activations", "temporaries", "gradients"


@dataclass(frozen=True, kw_only=True)
class PeakMemory:
    """Bytes alive at the worst moment of a step.

    `categories` has parameters, buffers, inputs, state (carried while decoding), optimizer_state, gradients,
    saved_activations and temporaries (everything else, what the kernel of the moment holds included); they add up to
    `peak_bytes`. `saved_by_module` divides the saved activations by the path of the module that made them. `operator`,
    `path` and `phase` say when; `index` too, into the timeline of a trace (None by formula, which has no timeline).
    """

    peak_bytes: int
    categories: Mapping[str, int]
    saved_by_module: Mapping[str, int]
    operator: str
    path: str
    phase: str
    index: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        at = {"operator": self.operator, "path": self.path, "phase": self.phase, "index": self.index}
        return {
            "peak_bytes": self.peak_bytes,
            "categories": dict(self.categories),
            "saved_by_module": dict(self.saved_by_module),
            "at": at,
        }


def largest_first(saved: Mapping[str, int]) -> dict[str, int]:
    """Saved activations by module, the largest first, modules without any left out."""
    return dict(sorted(((path, size) for path, size in saved.items() if size), key=lambda item: -item[1]))
