"""What is this machine? Its kernels timed for a minute, and kept as the profile that predictions read.

The load of the machine is looked at first: on a busy one the times would be those of its neighbours. The profile is
written whole or not at all, to the user's data folder or to a file.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seqcost.algebra.formats import dtype_named
from seqcost.calibration import Told, differences, levels, merged, profile_of
from seqcost.errors import BadMachine, BadSize, MachineBusy
from seqcost.extras import need
from seqcost.machines import Machine, read, write
from seqcost.machines.shelf import own_profile
from seqcost.progress import tell
from seqcost.questions.asked.arguments import flag
from seqcost.questions.asked.lengths import whole
from seqcost.records import this_environment

BUSY_CORES = 0.25  # of other processes, beside which a profile is not trusted
FACTS = ("machine_id", "cpu_model", "num_cores", "os", "python_version", "torch_version")


def calibrate(
    *,
    dtype: Any = "float32",
    threads: int | str | None = None,
    anyway: bool = False,
    output: str | os.PathLike[str] | None = None,
    on_case: Callable[[int, int], object] | None = None,
) -> Machine:
    """Time the kernels of this machine's CPU and keep them as its profile.

    Parameters
    ----------
    dtype
        The format whose kernels are timed; those of others that the profile has are kept.
    threads
        Of each kernel; by default all cores that this process may use.
    anyway
        Calibrate on a busy machine, too.
    output
        A .toml file; by default the place where "here" is looked for, beside the store of runs.
    on_case
        Called with the number of kernels that were timed and of all.

    Raises
    ------
    BadMachine
        For an `output` that is the profile of another machine, or none.
    MachineBusy
        Where other processes keep its cores busy, unless `anyway`.
    BadSize, UnknownName
        For a number of threads that the machine does not have, a format that is not known.
    MissingExtra
        Where PyTorch is not installed.

    Examples
    --------
    >>> calibrate(threads=1).error["all"]  # doctest: +SKIP
    (0.131, 0.48)

    """
    need("torch", "kernels to be timed need")
    from seqcost.measure.kernels.sample import cpu_cases
    from seqcost.measure.kernels.timing import ROUNDS, time_kernels
    from seqcost.measure.load import others_now
    from seqcost.measure.turn import turn

    environment = this_environment()
    count = environment.num_cores if threads is None else whole(threads, "threads")
    if count > environment.num_cores:
        raise BadSize(
            f"threads = {count} was given; this process may use {environment.num_cores} cores: give 1 to that."
        )
    format_name = dtype_named(dtype)
    path = own_profile("cpu", count) if output is None else Path(output)
    cases = list(cpu_cases(format_name))
    if output is not None and path.exists():
        read(path)  # what cannot be read is told before the minute, not after
    total = len(cases) * ROUNDS
    with turn(lambda: tell("waiting: somebody else measures on this machine")):
        busy = others_now()
        if busy > BUSY_CORES and not flag(anyway, "anyway"):
            raise MachineBusy(
                f"other processes keep {busy:g} of {environment.num_cores} cores busy, so that a profile would be "
                "theirs too; try again when they have ended, or calibrate anyway (--anyway)."
            )
        lines = time_kernels(cases, count, on_case=None if on_case is None else lambda done: on_case(done, total))
        told = Told.of(lines)
    facts = environment.to_dict()
    machine = profile_of(
        told,
        cases,
        threads=count,
        memory_bytes=environment.memory_bytes,
        levels=levels(count),
        title=f"{environment.cpu_model or 'this machine'}, {count} thread{'s' * (count > 1)}",
        environment={name: facts[name] for name in FACTS},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write(_with_other_formats(machine, path, own=output is None), path)
    return machine


def _with_other_formats(machine: Machine, path: Path, *, own: bool) -> Machine:
    """With the formats that the profile there has beside; one's own is replaced where versions have changed since."""
    if not path.exists():
        return machine
    try:
        old = read(path)
    except BadMachine:
        if own:  # of an older program: nothing in it can be kept
            return machine
        raise
    return machine if own and differences(machine, old) else merged(machine, old)
