"""How long does it take here, and how much memory? Targets over lengths, really run, beside what was predicted.

Each job runs in several started processes that are spread over time, and is answered with the interval between them;
runs on a busy machine are repeated or marked. Which target costs more, and from which length on, is told only where
their intervals are apart.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from seqcost.algebra.formats import dtype_named
from seqcost.algebra.quantity import QUANTITIES
from seqcost.errors import BadMachine, BadTarget, shortened
from seqcost.machines import Machine
from seqcost.questions.answers.comparison import Crossover
from seqcost.questions.answers.measurement import Forecast, Measured, Measurement
from seqcost.questions.answers.standings import between, cheapest, crossovers, standings
from seqcost.questions.asked.arguments import sizes_in
from seqcost.questions.asked.lengths import lengths_in, whole
from seqcost.questions.asked.machine import calibrated_or_named
from seqcost.questions.asked.request import Request
from seqcost.questions.asked.runs import Runs, check_tokens, from_zero, text_digest
from seqcost.questions.predict import beside_of, predicted
from seqcost.questions.targets.several import resolved
from seqcost.questions.targets.subject import Subject
from seqcost.records import Job, Pooled, Store, this_environment
from seqcost.records.pooling import PROCESSES

if TYPE_CHECKING:
    from seqcost.measure import Limits
    from seqcost.measure.sweeps import Done

MOST_REFINED = 20  # each halves the distance of the lengths, on a logarithmic axis
WAITING = "waiting: somebody else measures on this machine"


def measure(
    targets: Sequence[Any],
    *,
    lengths: int | str | Sequence[int | str],
    sizes: Mapping[str, Any] | None = None,
    batch: int | str = 1,
    phase: str = "forward",
    dtype: Any = "float32",
    processes: int | str = PROCESSES,
    retries: int | str | None = None,
    threads: int | None = None,
    text: str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    limits: "Limits | None" = None,
    again: bool = False,
    refine: int | str = 0,
    machine: Any = None,
    on_start: Callable[[Job | str], object] | None = None,
    on_done: "Callable[[Done], object] | None" = None,
) -> Measurement:
    """Run targets over lengths on this machine.

    Parameters
    ----------
    targets
        Each what `count` takes, as far as another process can make it: a name, the path of code, `hf:` and a model.
    lengths
        Tokens T: one length or several, as numbers or as text ("64..8k").
    processes
        Started processes a job, at least; those on record count. Five or more give the interval of a median.
    retries
        How often a run is repeated that other processes disturbed; 2 where nothing is given.
    threads
        Of each job; by default all cores that this process may use.
    text
        A UTF-8 file whose bytes are the tokens.
    store
        Where runs are kept; by default $SEQCOST_STORE or the user's data folder.
    limits
        Of one job in one process: 300 s and 80 % of the memory that is free, where nothing is given.
    again
        Measure anew what is on record.
    refine
        How often the two targets of each crossover in time are run at further lengths around it, which narrows it down.
    machine
        Whose prediction stands beside the runs, as in `predict`; where nothing is given, this one's if it was
        calibrated with so many threads.
    on_start, on_done
        Called with each job before it is run, or with a word about what is waited for; with each run that has ended.

    Raises
    ------
    UnknownName, BadSize, BadTarget
        For a name, number or text that is not allowed, and for what cannot be sent to another process.
    MissingExtra
        Where PyTorch is not installed.

    """
    request = Request.of(phase=phase, batch=whole(batch, "batch"), dtype=dtype_named(dtype))
    how = Runs.of(
        processes=processes, retries=retries, threads=threads, limits=limits, store=store, text=text, again=again
    )
    for name, function in (("on_start", on_start), ("on_done", on_done)):
        if function is not None and not callable(function):
            raise BadTarget(f"{name} = {shortened(function)} was given; a function is allowed.")
    ordered = sorted(set(lengths_in(lengths, "lengths")))
    subjects = resolved(targets, sizes_in(sizes))
    check_tokens(ordered, request.B or 1, "")
    return measured(
        subjects,
        ordered,
        request,
        how,
        refine=from_zero(refine, "refine", most=MOST_REFINED),
        machine=calibrated_or_named(machine, how.cores),
        on_start=on_start,
        on_done=on_done,
    )


def measured(
    subjects: Mapping[str, Subject],
    lengths: Sequence[int],
    request: Request,
    how: Runs,
    *,
    refine: int = 0,
    machine: Machine | None = None,
    on_start: Callable[[Job | str], object] | None = None,
    on_done: "Callable[[Done], object] | None" = None,
) -> Measurement:
    """The same, of what was resolved and checked."""
    vocabularies = {name: subject.letters().get("U") for name, subject in subjects.items()}
    digest = None if how.text is None else text_digest(how.text, vocabularies)
    asked = [(name, length) for name in subjects for length in lengths]
    points: list[Measured] = []
    with Store(how.store) as kept:
        environment = this_environment()
        for _ in range(1 + refine):
            jobs = {place: _job(subjects[place[0]], place[1], request, how.cores, digest) for place in asked}
            pooled = _swept(jobs.values(), kept, how, on_start, on_done)
            points += [
                Measured(name, T, run, None if machine is None else _forecast(subjects[name], request.at(T), machine))
                for (name, T), run in zip(jobs, pooled, strict=True)
            ]
            found = standings(points)
            crossed = crossovers(points, found)
            known = {(point.target, point.length) for point in points}
            asked = [place for place in _around(crossed) if place not in known]
            if not asked:
                break
        best = kept.best_reference(environment, how.cores)
    order = {name: place for place, name in enumerate(subjects)}
    return Measurement(
        targets=tuple(subjects),
        lengths=tuple(lengths),
        phase=request.phase,
        B=request.B or 1,
        dtype=request.dtype or "float32",
        threads=how.cores,
        processes=how.processes,
        points=tuple(
            replace(point, reference_ratio=point.run.reference_ratio(best))
            for point in sorted(points, key=lambda point: (order[point.target], point.length))
        ),
        crossovers=tuple(crossed),
        standings=tuple(found),
        cheapest=tuple(cheapest(points)),
        families={name: subject.family for name, subject in subjects.items()},
        environment=environment,
    )


def _forecast(subject: Subject, request: Request, machine: Machine) -> Forecast | None:
    """What the run was predicted to take; None in a format that the profile does not know."""
    try:
        counted = subject.counted(request)
        found = predicted(counted, machine, beside_of(subject, counted, machine))
    except BadMachine:
        return None
    seconds = found.seconds
    return Forecast(seconds.low, seconds.mid, seconds.high, found.count.peak_bytes)


def _around(crossed: Iterable[Crossover]) -> list[tuple[str, int]]:
    """Both targets of each crossover in time, at further lengths around it: memory needs no run to be known."""
    return list(
        dict.fromkeys(
            (name, T)
            for crossover in crossed
            if QUANTITIES[crossover.quantity].unit == "second"
            for name in (crossover.rising, crossover.other)
            for T in between(crossover)
        )
    )


def _swept(
    jobs: Iterable[Job],
    kept: Store,
    how: Runs,
    on_start: Callable[[Job | str], object] | None,
    on_done: "Callable[[Done], object] | None",
) -> list[Pooled]:
    from seqcost.measure import sweep
    from seqcost.measure.sweeps import RETRIES

    return sweep(
        jobs,
        kept,
        how.limits,
        processes=how.processes,
        retries=RETRIES if how.retries is None else how.retries,
        on_start=on_start,
        on_done=on_done,
        on_wait=None if on_start is None else partial(on_start, WAITING),
        again=how.again,
        text_path=how.text,
    )


def _job(subject: Subject, length: int, request: Request, threads: int, digest: str | None) -> Job:
    return Job(
        target=subject.runnable(),
        phase=request.phase,
        B=request.B or 1,
        T=length,
        dtype=request.dtype or "float32",
        threads=threads,
        text_sha256=digest,
    )
