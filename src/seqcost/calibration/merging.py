"""One profile of several formats: a calibration in bfloat16 keeps what one in float32 found, on the same machine.

Profiles of unlike machines are never mixed: the facts that a measured number depends on must be the same.
"""

from dataclasses import replace

from seqcost.calibration.error import left_out
from seqcost.errors import BadMachine
from seqcost.machines import Machine


def merged(new: Machine, old: Machine) -> Machine:
    """The new profile with the formats of the old one that it lacks.

    Raises BadMachine, which names what differs, for profiles of unlike machines.
    """
    if differing := differences(new, old):
        told = ", ".join(f"{name}: {mine!r} and {others!r}" for name, (mine, others) in differing.items())
        raise BadMachine(f"{old.key} is of another machine or other versions ({told}); give another file.")
    kept = tuple(series for series in old.series if series.dtype not in new.peaks)
    both = replace(new, peaks={**old.peaks, **new.peaks}, series=(*new.series, *kept))
    return replace(both, error=left_out(both))


def differences(new: Machine, old: Machine) -> dict[str, tuple[object, object]]:
    """What measured numbers depend on and is not the same."""
    mine, others = ({**machine.environment, "threads": machine.threads} for machine in (new, old))
    return {
        name: (mine.get(name), others.get(name))
        for name in (*mine, *(name for name in others if name not in mine))
        if mine.get(name) != others.get(name)
    }
