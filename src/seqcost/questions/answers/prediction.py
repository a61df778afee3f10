"""The answer to "how long will it take, and what bounds it?": a count at one length, beside a machine.

JSON contract of `Prediction.to_dict()`, stable: keys target, machine, phase, sizes, dtype, rung, seconds (low, mid,
high: a 90 % interval), peak_bytes, memory_bytes (of the machine), fits, parts (seconds of kernels, glue, fresh memory),
bounds and bases (shares of the kernels' time), basis (a sentence), check (the command that would confirm it), rows
(direction, path, operator, kernel, sizes, launches, seconds, share, bound, basis).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqcost.machines import Machine
from seqcost.prediction import Basis, Bound, Interval, Kernels, Timed
from seqcost.questions.answers.count import Count

CAPACITY = "capacity"


@dataclass(frozen=True)
class Prediction:
    """What one phase of a target takes on a machine."""

    count: Count
    machine: Machine
    timed: Timed
    peak_bytes: int | None  # of the device, with what the machine adds to tensors
    check: str | None = None  # the command that would confirm it; None where none on this machine can

    @property
    def seconds(self) -> Interval:
        """A 90 % interval."""
        return self.timed.seconds

    @property
    def fits(self) -> bool | None:
        """Whether the machine's memory holds the peak; None where the peak is not known."""
        return None if self.peak_bytes is None else self.peak_bytes <= self.machine.memory.amount

    @property
    def bound(self) -> str:
        """What bounds the run: capacity where it does not fit, else what most of its time is bound by."""
        if self.fits is False:
            return CAPACITY
        shares = self.bounds
        return max(shares, key=shares.__getitem__) if shares else Bound.LAUNCHES

    @property
    def bounds(self) -> Mapping[str, float]:
        """Shares of the rows' time, by what bounds them."""
        return self._shares(Bound)

    @property
    def bases(self) -> Mapping[str, float]:
        """The same by what the times rest on."""
        return self._shares(Basis)

    def _shares(self, words: type[Bound] | type[Basis]) -> dict[str, float]:
        return {str(word): share for word in words if (share := self.timed.share(word))}

    @property
    def basis(self) -> str:
        """What the estimate rests on, in a sentence."""
        shares = ", ".join(f"{100 * share:.0f} % {word}" for word, share in self.bases.items())
        return f"{self.rests_on}: {shares or 'nothing is launched'}"

    @property
    def rests_on(self) -> str:
        """The machine, and what its profile is worth."""
        kind = "measured profile" if self.machine.is_measured else "no measured kernel"
        if (learnt := self.machine.learnt.get(self.count.dtype)) is not None:
            kind += f" that learnt from {learnt.runs}"
        return f"{self.machine.title} ({self.machine.key}, {kind})"

    def roofline(self) -> list[tuple[str, float, float]]:
        """The machine's limits in the format of the run: name, bytes a second, FLOP/s that it allows."""
        kernels = Kernels(self.machine, self.count.dtype)
        return [(name, rate, kernels.peak) for _, rate, name in kernels.levels]

    def to_dict(self, most: int | None = None) -> dict[str, Any]:
        """Plain data; `most` rows at most, those that take longest first."""
        whole = self.timed.device_s + self.timed.host_s + self.timed.pages_s or 1.0
        rows = sorted(self.timed.rows, key=lambda row: -row.seconds.mid)
        return {
            "target": self.count.target,
            "machine": self.machine.key,
            "phase": self.count.phase,
            "sizes": dict(self.count.sizes),
            "dtype": self.count.dtype,
            "rung": self.count.rung,
            "seconds": self.seconds.to_dict(),
            "peak_bytes": self.peak_bytes,
            "memory_bytes": int(self.machine.memory.amount),
            "fits": self.fits,
            "bound": self.bound,
            "parts": {
                "kernels_s": self.timed.device_s,
                "glue_s": self.timed.host_s,
                "fresh_memory_s": self.timed.pages_s,
            },
            "bounds": dict(self.bounds),
            "bases": dict(self.bases),
            "basis": self.basis,
            "check": self.check,
            "rows": [
                {
                    "direction": str(found.row.direction),
                    "path": found.row.path,
                    "operator": found.row.operator or found.row.name,
                    "kernel": str(found.row.kernel),
                    "sizes": [int(size) for size in found.row.sizes],
                    "launches": int(found.row.launches),
                    "flops": int(found.row.contraction),
                    "bytes": int(found.row.bytes),
                    "seconds": found.seconds.to_dict(),
                    "share": found.seconds.mid / whole,
                    "bound": str(found.bound),
                    "basis": str(found.basis),
                }
                for found in (rows if most is None else rows[:most])
            ],
        }

    def __str__(self) -> str:
        from seqcost.report.predictions import text

        return text(self.to_dict())
