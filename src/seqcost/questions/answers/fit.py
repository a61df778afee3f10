"""The answer to "what fits?": the largest size within its limits, what stands at its peak, and what could be changed.

JSON contract of `Fit.to_dict()`, stable: see docs/json.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqcost.algebra.peak import PeakMemory
from seqcost.plan import Largest
from seqcost.prediction import Interval
from seqcost.questions.answers.trials import Trials

MEMORY, TIME, POSITIONS, NOTHING = "memory", "time", "positions", "nothing"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The size that was asked about, and whether it fits; `seconds` are predicted where time is limited."""

    size: int
    peak_bytes: int
    fits: bool
    seconds: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"size": self.size, "peak_bytes": self.peak_bytes, "seconds": self.seconds, "fits": self.fits}


@dataclass(frozen=True, kw_only=True)
class Timing:
    """A limit of time beside that of memory: whether it is the one that binds, and the predictions on both sides.

    `seconds` are those of the answer's size. `careful` is the largest size whose interval lies within the limit,
    `hopeful` the largest whose interval begins within it; neither goes beyond the memory.
    """

    limit_s: float
    machine: str  # its name and edition
    binds: bool
    seconds: Interval
    next_seconds: Interval | None
    careful: int | None
    hopeful: int | None
    odd: int | None = None  # a size that contradicts: a smaller one that takes too long, a larger one that does not

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "limit_s": self.limit_s,
            "machine": self.machine,
            "seconds": self.seconds.to_dict(),
            "next_seconds": None if self.next_seconds is None else self.next_seconds.to_dict(),
            "careful": self.careful,
            "hopeful": self.hopeful,
        }


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How far a target goes within a limit of memory, and of time where one was given.

    `find` is the size that is looked for: length, batch, D or L. `sizes` has the others, as they were. `memory` says
    what the peak consists of at the size that was asked about, else at the largest that fits: `at`.
    """

    target: str
    phase: str
    dtype: str
    find: str
    sizes: Mapping[str, Any]
    rung: str
    limit_bytes: int
    limit: str
    largest: Largest
    at: int
    memory: PeakMemory | None
    machine: str | None = None  # its name and edition
    positions: int | None = None  # tokens that the model takes at most, where lengths are looked for
    asked: Asked | None = None
    timing: Timing | None = None  # None where time is not limited
    optimizer: str | None = None
    accumulate: int = 1
    trials: Trials | None = None  # None where remedies were not asked for
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int | None:
        """The largest that fits; None where not even the smallest does."""
        return self.largest.size

    @property
    def bound(self) -> str:
        """What ends it: "memory" or "time"; "positions", if the model has no more; "nothing" at all."""
        if self.timing is not None and self.timing.binds:
            return TIME
        if self.largest.next_size is not None:
            return MEMORY
        return NOTHING if self.positions is None else POSITIONS

    def to_dict(self) -> dict[str, Any]:
        """The JSON contract; see docs/json.md."""
        found = self.largest
        return {
            "target": self.target,
            "phase": self.phase,
            "dtype": self.dtype,
            "optimizer": self.optimizer,
            "accumulate": self.accumulate,
            "find": self.find,
            "sizes": dict(self.sizes),
            "rung": self.rung,
            "limit_bytes": self.limit_bytes,
            "limit": self.limit,
            "machine": self.machine,
            "size": found.size if self.bound != NOTHING else None,
            "peak_bytes": found.cost,
            "next_size": found.next_size,
            "next_peak_bytes": found.next_cost,
            "bound": self.bound,
            "time": None if self.timing is None else self.timing.to_dict(),
            "asked": None if self.asked is None else self.asked.to_dict(),
            "at": self.at,
            "memory": None if self.memory is None else self.memory.to_dict(),
            "tensors": [] if self.memory is None else [held.to_dict() for held in self.memory.tensors],
            "remedies": None if self.trials is None else self.trials.to_dict(),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        from seqcost.report.fits import heading, sentences, tables
        from seqcost.report.table import as_text

        answer = self.to_dict()
        return as_text(tables(answer), before=[heading(answer), *sentences(answer)], after=answer["notes"])

    def _repr_html_(self) -> str:
        from seqcost.report.notebook import fit_html

        return fit_html(self.to_dict())
