"""What it takes to carry bytes between a device and its host. No torch.

Copies from pinned memory, one after the other in both directions, as `torch.autograd.graph.save_on_cpu` makes them: the
way out is waited for, the way back stands in line before the kernels that need it, so that neither hides behind work.
"""

from seqcost.errors import BadMachine
from seqcost.machines import Machine
from seqcost.prediction.interval import NINETY, Interval, added

SPREAD_OF_LINKS = 0.2  # where a profile gives no error: data sheets say 64 GB/s of links that reach 53
TO, FROM = "to_device", "from_device"


def carried(num_bytes: float, machine: Machine) -> Interval:
    """Seconds of so many bytes to the host and back.

    Raises BadMachine where the profile has no link.
    """
    missing = [name for name in (FROM, TO) if name not in machine.links]
    if missing:
        raise BadMachine(
            f"{machine.name} has no speed of its link to the host (links.{missing[0]}); add it to the profile."
        )
    parts = []
    for name in (FROM, TO):
        link = machine.links[name]
        spread = SPREAD_OF_LINKS if link.error is None else link.error / NINETY
        parts.append((name, num_bytes / link.amount, spread))
    return added(parts)
