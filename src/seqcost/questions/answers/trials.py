"""What was tried so that more fits: each remedy's peak and work at one size, and how far it reaches."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Tried:
    """Remedies that were applied together: peak and work at one size, beside those of the target as it is.

    `size` is the largest that fits with them: None where none does, where every one does (`unbounded`), and for several
    together that are not on the front, of which it was not looked for. Ratios are those of work to the target's own;
    `seconds` are predicted: None without a machine, and where its profile cannot tell, with the reason in `untimed`.
    """

    names: tuple[str, ...]
    group: str
    rung: str
    peak_bytes: int
    flops_ratio: float
    bytes_ratio: float
    launches_ratio: float
    seconds: float | None = None
    untimed: str | None = None
    size: int | None = None
    unbounded: bool = False
    params: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**vars(self), "names": list(self.names)}


@dataclass(frozen=True, kw_only=True)
class Trials:
    """All that were tried at a size: single ones, those that reach furthest first, then several together.

    `front` has indices into `tried`, from the cheapest on (−1 is the target as it is): of those that keep the model,
    each needs less memory than all that cost no more. What does not apply is `left_out`, with the reason.
    """

    at: int
    own_peak_bytes: int
    own_seconds: float | None
    tried: tuple[Tried, ...]
    left_out: tuple[tuple[str, str], ...]
    front: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "at": self.at,
            "own_peak_bytes": self.own_peak_bytes,
            "seconds": self.own_seconds,
            "tried": [one.to_dict() for one in self.tried],
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out],
            "front": list(self.front),
        }
