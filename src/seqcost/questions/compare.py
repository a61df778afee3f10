"""Which is cheaper, and from which length on? Several targets side by side: formula, trace and real runs.

Each target at each length is counted, by formula where it has one, else by tracing; on demand a trace of the working
layer confirms the formula's FLOPs; with `measure` each is run in several started processes and the record stands
beside. Crossovers: in FLOPs and bytes solved from the formulas, to the token; in measured time and memory between the
lengths around them at which the intervals of the two are apart; in time predicted for a machine, where one is named,
with the interval of the length in which it may lie.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from seqcost.algebra.formats import dtype_named
from seqcost.errors import BadTarget, shortened
from seqcost.machines.shelf import HERE
from seqcost.questions.answers.comparison import Agreement, Comparison, Point
from seqcost.questions.answers.complexity import complexity_row
from seqcost.questions.answers.foretold import confirming, pairs, quickest
from seqcost.questions.answers.formula import longest_text
from seqcost.questions.answers.standings import cheapest, crossovers, standings
from seqcost.questions.answers.verdicts import balances, cheapest_of, solved
from seqcost.questions.asked.arguments import flag, sizes_in
from seqcost.questions.asked.lengths import lengths_in, whole
from seqcost.questions.asked.machine import machine_in
from seqcost.questions.asked.request import Request
from seqcost.questions.asked.runs import Runs, check_tokens, text_digest
from seqcost.questions.measure import measured
from seqcost.questions.predict import beside_of, predicted
from seqcost.questions.targets.several import resolved
from seqcost.questions.targets.subject import Subject
from seqcost.records import Job, Pooled
from seqcost.records.pooling import PROCESSES

if TYPE_CHECKING:
    from seqcost.measure import Limits
    from seqcost.measure.sweeps import Done


def compare(
    targets: Sequence[Any],
    *,
    lengths: int | str | Sequence[int | str],
    sizes: Mapping[str, Any] | None = None,
    batch: int | str = 1,
    phase: str = "forward",
    dtype: Any = "float32",
    trace: bool = False,
    measure: bool = False,
    machine: Any = None,
    text: str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    limits: "Limits | None" = None,
    threads: int | None = None,
    processes: int | str = PROCESSES,
    retries: int | str | None = None,
    again: bool = False,
    on_start: Callable[[Job | str], object] | None = None,
    on_done: "Callable[[Done], object] | None" = None,
) -> Comparison:
    """Compare targets over lengths.

    Parameters
    ----------
    targets
        Each what `count` takes, a live module also as a pair (module, inputs); the first is the yardstick. What has a
        formula is answered by it, everything else is traced. The same `sizes` go to each that has them.
    lengths
        Tokens T: one length or several, as numbers or as text ("64..8k").
    trace
        Trace the working layer of each name of the catalogue beside its formula, too; that takes a while.
    measure
        Also run each on this machine, `phase` once per repetition, as the question `measure` does: in `processes`
        started processes, repeated `retries` times where others disturb it, kept in `store`.
    machine
        Also predict the time of each on a machine, as `predict` does: "here", a name such as "h100", the path of a
        .toml profile or a `seqcost.machines.Machine`.
    text
        A UTF-8 file whose bytes are the tokens of the measured runs.
    on_start
        Called with each job before it is really run, and with each target before it is counted.
    on_done
        Called with each run that has ended.

    Raises
    ------
    UnknownName, BadSize, BadTarget
        For a name, number or text that is not allowed; BadMachine for a profile that cannot be used, or does not know
        the format.
    MissingExtra
        Where a trace or a run is asked for and PyTorch is not installed.

    Examples
    --------
    >>> answer = compare(["transformer", "mamba"], lengths="1k..4k", sizes={"D": 256, "L": 2})
    >>> [(row.rising, row.other, row.length) for row in answer.crossovers if row.quantity == "flops"]
    [('transformer', 'mamba', 2)]

    """
    batch, dtype = whole(batch, "batch"), dtype_named(dtype)
    request = Request.of(phase=phase, batch=batch, dtype=dtype)
    trace, measure = flag(trace, "trace"), flag(measure, "measure")
    how = Runs.of(
        processes=processes, retries=retries, threads=threads, limits=limits, store=store, text=text, again=again
    )
    where = None if machine is None else machine_in(machine, threads=how.threads)
    ordered = sorted(set(lengths_in(lengths, "lengths")))
    subjects = resolved(targets, sizes_in(sizes))
    if how.text is not None:
        text_digest(how.text, {name: subject.letters().get("U") for name, subject in subjects.items()})
    for name, function in (("on_start", on_start), ("on_done", on_done)):
        if function is not None and not callable(function):
            raise BadTarget(f"{name} = {shortened(function)} was given; a function is allowed.")
    runs: dict[tuple[str, int], Pooled] = {}
    if measure:
        check_tokens(ordered, batch, ", or leave --measure out, formulas take any length")
        found = measured(subjects, ordered, request, how, on_start=on_start, on_done=on_done)
        runs = {(point.target, point.length): point.run for point in found.points}
    points: list[Point] = []
    for name, subject in subjects.items():
        if on_start is not None:
            on_start(f"counting {name}")
        for T in ordered:
            counted = replace(subject.counted(request.at(T)), target=name)
            foretold = None if where is None else predicted(counted, where, beside_of(subject, counted, where))
            points.append(Point(name, T, counted, _path(subject, T), runs.get((name, T)), foretold))
    solutions, dominances = solved(points)
    orders, foretold_pairs = standings(points), pairs(points)
    crossed = [crossover for pair in foretold_pairs for crossover in pair.crossovers()]
    answer = Comparison(
        targets=tuple(subjects),
        lengths=tuple(ordered),
        phase=request.phase,
        points=tuple(points),
        agreement=(),
        crossovers=(*solutions, *crossed, *crossovers(points, orders)),
        dominances=tuple(dominances),
        complexity=tuple(complexity_row(name) for name, subject in subjects.items() if subject.config is not None),
        cheapest=(*cheapest_of(points), *quickest(points, foretold_pairs), *cheapest(points)),
        balances=tuple(balances(points)),
        standings=(*(pair.standing for pair in foretold_pairs), *orders),
        families={name: subject.family for name, subject in subjects.items()},
        subjects=subjects,
        machine=where,
    )
    if where is not None and where.name == HERE and all(isinstance(target, str) for target in targets):
        answer = replace(answer, check=confirming(answer, request, sizes_in(sizes)))
    return confirmed(answer) if trace else answer


def _path(subject: Subject, length: int) -> int | None:
    """Greatest number of steps between two positions; None where no formula says."""
    config = subject.config
    return None if config is None else int(config.path_length(Request().workload(config, length)).total())


def confirmed(comparison: Comparison) -> Comparison:
    """The same with the trace of each working layer beside its formula, at the shortest length, which takes a while.

    A layer that does not take that length is traced at the longest that it takes.
    """
    out = []
    for name, subject in comparison.subjects.items():
        if subject.config is None:
            continue
        point = comparison.of(name)[0]
        length = min(point.length, longest_text(subject.config) or point.length)
        request = Request(phase=comparison.phase, B=point.count.sizes["B"], dtype=point.count.dtype, T=length)
        formula, traced = subject.counted(request), subject.counted(replace(request, trace=True))
        assert formula.flops is not None, "a name of the catalogue has a formula"
        assert traced.flops is not None
        out.append(Agreement(name, length, formula.flops, traced.flops, traced.rung, traced.peak_bytes))
    return replace(comparison, agreement=tuple(out))
