"""What runs on record taught of this machine, and whether it brings a target nearer that was held out.

JSON contract of `Learning.to_dict()`, stable: keys machine, dtype, num_runs, num_targets, left_out (jobs by reason),
before and after (median, p90, held: the share within 90 % intervals; each target held out), helps, parts and phases
(factors), spread (before, after), kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from seqcost.calibration.from_records import Lesson
from seqcost.machines import Machine


@dataclass(frozen=True)
class Learning:
    """The answer to `calibrate(from_records=True)`; `machine` is the profile as it is kept now."""

    machine: Machine
    dtype: str
    lesson: Lesson
    spread_before: float
    left_out: Mapping[str, int]

    @property
    def helps(self) -> bool:
        """Whether it was kept: only where held-out targets come nearer."""
        return self.lesson.helps

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        learnt = self.lesson.learnt
        return {
            "machine": self.machine.key,
            "dtype": self.dtype,
            "num_runs": learnt.num_runs,
            "num_targets": learnt.num_targets,
            "left_out": dict(self.left_out),
            "before": self.lesson.before.to_dict(),
            "after": self.lesson.after.to_dict(),
            "helps": self.helps,
            "parts": {part: value.amount for part, value in learnt.parts.items()},
            "phases": {phase: value.amount for phase, value in learnt.phases.items()},
            "spread": {"before": self.spread_before, "after": learnt.spread.amount},
            "kept": self.helps,
        }

    def __str__(self) -> str:
        from seqcost.report.learnings import sentences, tables
        from seqcost.report.table import as_text

        answer = self.to_dict()
        return as_text(tables(answer), before=list(sentences(answer)))
