"""How fast the machine was while a job ran: a fixed product and a fixed streaming add, timed before it and after it.

The work is the same whatever the job, so the ratio to its best on a machine says what the machine lacked: neighbours
on the same host, a lower clock, another process. Not covered: which of these it was.
"""

from dataclasses import dataclass
from typing import Any

SLOW = 1.5  # times its best that a launch may take: beyond, something made the runs beside it longer


@dataclass(frozen=True)
class Reference:
    """Seconds of one launch of each, the median of several: before the job and after it."""

    product_s: tuple[float, float]  # a float32 matrix product: what the cores do
    add_s: tuple[float, float]  # a float32 addition over more than the caches hold: what the memory does

    def ratio(self, best: "Best") -> float:
        """How many times its best a launch took, on average over before and after, of the kernel that lost more."""
        return max(sum(self.product_s) / 2 / best.product_s, sum(self.add_s) / 2 / best.add_s)

    def to_dict(self) -> dict[str, Any]:
        """Both as lists, before and after."""
        return {"product_s": list(self.product_s), "add_s": list(self.add_s)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Reference":
        """Back from `to_dict`; ValueError where a pair of times above 0 is none."""
        pairs = {name: tuple(float(time_s) for time_s in fields[name]) for name in ("product_s", "add_s")}
        if any(len(pair) != 2 or min(pair) <= 0 for pair in pairs.values()):
            raise ValueError("a reference without two times above 0 of each kernel")
        return cls(**pairs)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Best:
    """The shortest that was seen of either kernel on one machine, with one number of threads."""

    product_s: float
    add_s: float
