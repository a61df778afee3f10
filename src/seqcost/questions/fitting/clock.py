"""What a look would take on a machine: its rows of work beside the machine's kernels."""

from seqcost.errors import BadMachine
from seqcost.machines import Machine
from seqcost.prediction import timed
from seqcost.questions.asked.machine import calibrated_or_named
from seqcost.questions.fitting.setup import Look, Setup
from seqcost.questions.fitting.trials import Clock
from seqcost.questions.predict import resident_bytes


def clock_of(machine: Machine | None) -> Clock:
    """The clock of a machine; of this one as it was calibrated where none is named, of nobody where it was not."""
    where = calibrated_or_named(machine)

    def seconds(look: Look, setup: Setup) -> float | None:
        if where is None:
            return None
        layers = look.sizes.get("L") or setup.subject.letters().get("L")
        try:
            return sum(
                float(weight)
                * timed(
                    rows,
                    where,
                    look.dtype,
                    training=setup.request.phase == "train",
                    layers=layers if look.rung == "formula" and isinstance(layers, int) else 1,
                    peak_bytes=look.peak_bytes,
                    resident_bytes=resident_bytes(look.memory.categories if look.memory else {}),
                ).seconds.mid
                for rows, weight in look.work
            )
        except BadMachine:  # its profile does not know the format: nobody can say
            return None

    return seconds
