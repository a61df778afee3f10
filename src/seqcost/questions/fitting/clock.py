"""What a look would take on a machine: its rows of work beside the machine's kernels, and what its link carries."""

from dataclasses import dataclass

from seqcost.algebra.work import Direction
from seqcost.machines import Machine
from seqcost.prediction import Interval, added, as_learnt, carried, timed
from seqcost.questions.fitting.setup import Look, Setup
from seqcost.questions.predict import resident_bytes

_COMES_BACK = "empty_strided"  # what a trace of an offload launches where a tensor comes back; see programs.changes


@dataclass(frozen=True)
class Clock:
    """The clock of a machine."""

    machine: Machine

    def seconds(self, look: Look, setup: Setup) -> Interval:
        """What a setup takes, as it was looked at, with a 90 % interval.

        Raises BadMachine where the profile does not know the format, or the link that an offload goes through.
        """
        layers = look.sizes.get("L") or setup.subject.letters().get("L")
        parts = []
        for rows, weight in look.work:
            by_kernels = timed(
                rows,
                self.machine,
                look.dtype,
                training=setup.request.phase == "train",
                layers=layers if look.rung == "formula" and isinstance(layers, int) else 1,
                peak_bytes=look.peak_bytes,
                resident_bytes=resident_bytes(look.memory.categories if look.memory else {}),
            )
            one = as_learnt(by_kernels, self.machine, look.dtype, setup.request.phase).seconds
            parts.append(("run", float(weight) * one.mid, one.spread))
        if setup.changes.get("offload"):
            link = carried(_offloaded_bytes(look), self.machine)
            parts.append(("link", link.mid, link.spread))
        return added(parts)


def _offloaded_bytes(look: Look) -> float:
    """What waits in the host's memory: as much goes there as comes back."""
    return float(
        sum(
            weight * row.fresh
            for rows, weight in look.work
            for row in rows
            if row.operator == _COMES_BACK and row.direction is Direction.BACKWARD
        )
    )
