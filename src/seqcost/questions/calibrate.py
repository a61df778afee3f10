"""What is this machine? Its kernels timed for a minute, and kept as the profile that predictions read.

Runs on record teach it, too: what they show in common beside their predictions goes into the profile, where it brings
targets nearer that were held out.

The load of the machine is looked at first: on a busy one the times would be those of its neighbours. The profile is
written whole or not at all, to the user's data folder or to a file.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, overload

from seqcost.algebra.formats import dtype_named
from seqcost.calibration import Told, differences, levels, merged, profile_of
from seqcost.calibration.from_records import FEWEST_TARGETS, learn
from seqcost.errors import BadMachine, BadSize, BadTarget, MachineBusy, SeqcostWarning
from seqcost.extras import need
from seqcost.machines import Machine, read, write
from seqcost.machines.shelf import own_profile
from seqcost.prediction.work import SPREAD_OF_MODELS, waits
from seqcost.progress import tell
from seqcost.questions.answers.learning import Learning
from seqcost.questions.asked.arguments import flag
from seqcost.questions.asked.lengths import whole
from seqcost.questions.calibrating.evidence import on_record
from seqcost.records import Environment, Store, this_environment

BUSY_CORES = 0.25  # of other processes, beside which a profile is not trusted
FACTS = ("machine_id", "cpu_model", "num_cores", "os", "python_version", "torch_version")


@overload
def calibrate(
    *,
    dtype: Any = ...,
    threads: int | str | None = ...,
    anyway: bool = ...,
    output: str | os.PathLike[str] | None = ...,
    from_records: Literal[False] = ...,
    store: str | os.PathLike[str] | None = ...,
    on_case: Callable[[int, int], object] | None = ...,
) -> Machine: ...
@overload
def calibrate(
    *,
    dtype: Any = ...,
    threads: int | str | None = ...,
    anyway: bool = ...,
    output: str | os.PathLike[str] | None = ...,
    from_records: bool,
    store: str | os.PathLike[str] | None = ...,
    on_case: Callable[[int, int], object] | None = ...,
) -> Machine | Learning: ...
def calibrate(
    *,
    dtype: Any = "float32",
    threads: int | str | None = None,
    anyway: bool = False,
    output: str | os.PathLike[str] | None = None,
    from_records: bool = False,
    store: str | os.PathLike[str] | None = None,
    on_case: Callable[[int, int], object] | None = None,
) -> Machine | Learning:
    """Time the kernels of this machine's CPU and keep them as its profile, or teach the profile by runs on record.

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
    from_records
        Time nothing: put what the runs on record of this very machine have in common, beside what the profile says of
        them, into the profile (`output`, else that of this machine), if that brings targets nearer that are held out.
        What was learnt belongs to the kernels of that profile: a calibration anew drops it.
    store
        Where these runs are kept; by default $SEQCOST_STORE or the user's data folder.
    on_case
        Called with the number of kernels that were timed and of all.

    Returns
    -------
    Machine or Learning
        The profile; from records what they taught, and how near held-out targets come.

    Raises
    ------
    BadMachine
        For an `output` that is the profile of another machine, or none; from records where there is no profile yet.
    BadTarget
        For runs of too few targets to learn from, for `store` without `from_records`, and `anyway` with it.
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
    if flag(from_records, "from_records"):
        if flag(anyway, "anyway"):
            raise BadTarget("anyway was given with from_records, which times nothing; leave one of them out.")
        return _taught(dtype_named(dtype), threads, output, store)
    if store is not None:
        raise BadTarget("store was given without from_records; kernels are timed, no run is read: leave it out.")
    need("torch", "kernels to be timed need")
    from seqcost.measure.kernels.sample import cpu_cases
    from seqcost.measure.kernels.timing import ROUNDS, time_kernels
    from seqcost.measure.load import others_now
    from seqcost.measure.turn import turn

    environment = this_environment()
    count = _threads(threads, environment)
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
    for dtype, learnt in old.learnt.items():
        if not learnt.is_of_records:
            continue
        warnings.warn(
            f"what {learnt.num_runs:,} runs taught of {dtype} belonged to the kernels timed before and is dropped; "
            "seqcost calibrate --from-records learns it anew.",
            SeqcostWarning,
            stacklevel=3,
        )
    return machine if own and differences(machine, old) else merged(machine, old)


def _threads(threads: int | str | None, environment: Environment) -> int:
    count = environment.num_cores if threads is None else whole(threads, "threads")
    if count > environment.num_cores:
        raise BadSize(
            f"threads = {count} was given; this process may use {environment.num_cores} cores: give 1 to that."
        )
    return count


def _taught(
    dtype: str,
    threads: int | str | None,
    output: str | os.PathLike[str] | None,
    store: str | os.PathLike[str] | None,
) -> Learning:
    """What runs on record teach the profile, which is written where that helps."""
    environment = this_environment()
    count = _threads(threads, environment)
    path = own_profile("cpu", count) if output is None else Path(output)
    if not path.exists():
        raise BadMachine(f"there is no profile {path} for runs to teach; run seqcost calibrate first.")
    machine = read(path)
    facts = environment.to_dict()
    if differing := [name for name in FACTS if machine.environment.get(name) != facts[name]]:
        raise BadMachine(
            f"{path} is of another machine or other versions ({', '.join(differing)}), so that runs from here say "
            "nothing of it; run seqcost calibrate first."
        )
    with Store(store) as kept:
        found = on_record(kept, replace(machine, learnt={}), dtype)
        place = kept.path
    if len(found.targets) < FEWEST_TARGETS:
        raise BadTarget(
            f"{place} has undisturbed runs of {len(found.targets)} targets in {dtype} with these versions and "
            f"{machine.threads} thread{'s' * (machine.threads != 1)}; at least {FEWEST_TARGETS} are needed to learn "
            "what they have in common: measure more, such as seqcost measure encoder lstm mamba conv --lengths 64..1k."
        )
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    spread = SPREAD_OF_MODELS[machine.device]
    lesson = learn(found.evidence, waits=waits(machine), spread=spread, date=now)
    if lesson.helps:
        machine = replace(machine, learnt={**machine.learnt, dtype: lesson.learnt})
        write(machine, path)
    return Learning(machine, dtype, lesson, spread, found.left_out)
