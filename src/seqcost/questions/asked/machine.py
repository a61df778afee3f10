"""Which machine is asked about: one by name, a profile from a file, this one, or this one without a profile.

A machine that was never calibrated is answered by a prior: what such processors are known to do at least and at most,
each number marked as assumed. Its predictions are wide, and say so.
"""

import os
from typing import Any

from seqcost.errors import BadTarget, UnknownName, shortened
from seqcost.machines import Machine, Value, Worth, machine_named
from seqcost.machines.shelf import HERE, calibrated_here

# A core of the last ten years, in float32: two fused multiply-adds of 8 to 16 numbers a cycle at about 3 GHz, of which
# plain products reach a half.
FLOPS_PER_CORE = 5e10
BYTES_PER_SECOND = 2e10  # two channels of DDR4 or DDR5, as streaming operators reach them
DISPATCH_S = 5e-6  # of an operator of PyTorch called from Python
EDITION = "2026"


def machine_in(machine: Any, *, threads: int | None = None) -> Machine:
    """The machine of a word or a `Machine`.

    Raises UnknownName for one that is not known, BadMachine for a profile that cannot be read, BadTarget for anything
    that is neither.
    """
    if isinstance(machine, Machine):
        return machine
    if not isinstance(machine, str | os.PathLike):
        raise BadTarget(f"machine = {shortened(machine)} was given; a name, a .toml file or a Machine is allowed.")
    word = os.fspath(machine)
    if word != HERE:
        return machine_named(word)
    if threads is not None and not calibrated_here(threads=threads):
        if calibrated_here():
            raise UnknownName(
                f"this machine was not calibrated with {threads} threads: run `seqcost calibrate --threads {threads}`."
            )
        return assumed_here(threads)
    return machine_named(word, threads=threads) if calibrated_here() else assumed_here(threads)


def calibrated_or_named(machine: Any, threads: int | None = None) -> Machine | None:
    """The machine that was asked for, else the profile of this one; None where neither is there."""
    if machine is not None:
        return machine_in(machine, threads=threads)
    return next(iter(calibrated_here(threads=threads)), None)


def assumed_here(threads: int | None = None) -> Machine:
    """A prior of this machine."""
    from seqcost.questions.asked.threads import kernel_threads

    cores = threads or kernel_threads()

    def value(amount: float, unit: str, why: str) -> Value:
        return Value(amount=amount, unit=unit, kind=Worth.ASSUMED, source=why, date=EDITION)

    return Machine(
        name=HERE,
        title="this machine, never calibrated",
        device="cpu",
        edition=EDITION,
        threads=cores,
        memory=value(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), "B", "the operating system"),
        bandwidth=value(BYTES_PER_SECOND, "B/s", "two channels of memory"),
        peaks={
            "float32": value(cores * FLOPS_PER_CORE, "FLOP/s", "cores × what products reach on one"),
            "float64": value(cores * FLOPS_PER_CORE / 2, "FLOP/s", "half of float32"),
            "bfloat16": value(cores * FLOPS_PER_CORE, "FLOP/s", "as float32"),
            "float16": value(cores * FLOPS_PER_CORE / 2, "FLOP/s", "half of float32"),
        },
        launch=value(DISPATCH_S, "s", "an operator called from Python"),
    )
