"""Which is cheaper, and from which length on? Several targets side by side: formula, trace and real runs.

Each target at each length is counted, by formula where it has one, else by tracing; on demand a trace of the working
layer confirms the formula's FLOPs; with `measure` each is run in a process of its own and the record stands beside.
Crossovers: in FLOPs and bytes solved from the formulas, to the token; in measured time and memory interpolated between
the lengths that bracket them.
"""

import hashlib
import itertools
import os
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqcost.algebra.formats import dtype_named
from seqcost.errors import BadSize, BadTarget, UnknownName, shortened
from seqcost.questions.answers.comparison import Agreement, Comparison, Point
from seqcost.questions.answers.complexity import complexity_row
from seqcost.questions.answers.formula import longest_text
from seqcost.questions.answers.verdicts import balances, cheapest_of, interpolated, solved
from seqcost.questions.asked.arguments import a_path, flag, sizes_in
from seqcost.questions.asked.lengths import lengths_in, whole
from seqcost.questions.asked.request import Request
from seqcost.questions.targets.resolve import resolve
from seqcost.questions.targets.subject import Subject
from seqcost.records import Job, Run, Store

if TYPE_CHECKING:
    from seqcost.measure import Limits

LONGEST_RUN = 2**31  # tokens of a batch that a real run is started for
WAITING = "waiting: somebody else measures on this machine"


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
    text: str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    limits: "Limits | None" = None,
    threads: int | None = None,
    again: bool = False,
    on_start: Callable[[Job | str], object] | None = None,
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
        Also run each on this machine: `phase` once per repetition, in a started process, kept in `store`.
    text
        A UTF-8 file whose bytes are the tokens of the measured runs.
    on_start
        Called with each job before it is really run, and with each target before it is counted.

    Raises
    ------
    UnknownName, BadSize, BadTarget
        For a name, number or text that is not allowed.
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
    trace, measure, again = flag(trace, "trace"), flag(measure, "measure"), flag(again, "again")
    ordered = sorted(set(lengths_in(lengths, "lengths")))
    subjects = _subjects(targets, sizes_in(sizes))
    runs: dict[tuple[str, int], Run] = {}
    digest = None if text is None else text_digest(a_path(text, "text"), subjects)
    if store is not None:
        a_path(store, "store")
    if threads is not None:
        whole(threads, "threads")
    if limits is not None and not _are_limits(limits):
        raise BadTarget(f"limits = {shortened(limits)} was given; seqcost.measure.Limits are allowed.")
    if on_start is not None and not callable(on_start):
        raise BadTarget(f"on_start = {shortened(on_start)} was given; a function is allowed.")
    if measure:
        from seqcost.measure import sweep

        jobs = _jobs(subjects, ordered, request, threads, digest)
        with Store(store) as kept:
            measured = sweep(
                list(jobs.values()),
                kept,
                limits,
                on_start=on_start,
                on_wait=None if on_start is None else partial(on_start, WAITING),
                again=again,
                text_path=text,
            )
            runs = dict(zip(jobs, measured, strict=True))
    points: list[Point] = []
    for name, subject in subjects.items():
        if on_start is not None:
            on_start(f"counting {name}")
        for T in ordered:
            counted = replace(subject.counted(request.at(T)), target=name)
            points.append(Point(name, T, counted, _path(subject, T), runs.get((name, T))))
    crossovers, dominances = solved(points)
    found = Comparison(
        targets=tuple(subjects),
        lengths=tuple(ordered),
        phase=request.phase,
        points=tuple(points),
        agreement=(),
        crossovers=(*crossovers, *interpolated(points)),
        dominances=tuple(dominances),
        complexity=tuple(complexity_row(name) for name, subject in subjects.items() if subject.config is not None),
        cheapest=tuple(cheapest_of(points)),
        balances=tuple(balances(points)),
        families={name: subject.family for name, subject in subjects.items()},
        subjects=subjects,
    )
    return confirmed(found) if trace else found


def _are_limits(given: Any) -> bool:
    from seqcost.measure import Limits

    return isinstance(given, Limits)


def _subjects(targets: Any, sizes: Mapping[str, Any]) -> dict[str, Subject]:
    """Each target once, by a name of its own, with the sizes that it has.

    One command line serves an attention model and an RNN alike: a size goes to each target that has it.
    """
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        raise BadTarget(f"targets = {targets!r} was given; a list of names is allowed: ['transformer', 'lstm'].")
    found: dict[str, Subject] = {}
    used: set[str] = set()
    for target in targets:
        if isinstance(target, str) and target in found:
            continue
        subject = resolve(target)
        fitting = {word: value for word, value in sizes.items() if subject.setting(word) is not None}
        used |= set(fitting)
        subject = resolve(target, fitting) if fitting else subject
        found[_own_name(subject.name, found)] = subject
    if not found:
        raise BadTarget("no target was given; name at least one architecture, such as transformer.")
    if refused := sorted(set(sizes) - used):
        known = set().union(*(subject.settings() for subject in found.values()))
        raise UnknownName.among(f"size of {', '.join(found)}", refused[0], known)
    return found


def _own_name(name: str, taken: Container[str]) -> str:
    """Two live modules of one class are told apart: Linear, Linear (2)."""
    further = (f"{name} ({number})" for number in itertools.count(2))
    return next(free for free in itertools.chain([name], further) if free not in taken)


def _path(subject: Subject, length: int) -> int | None:
    """Greatest number of steps between two positions; None where no formula says."""
    config = subject.config
    return None if config is None else int(config.path_length(Request().workload(config, length)).total())


def text_digest(path: str | os.PathLike[str], subjects: Mapping[str, Subject]) -> str:
    """SHA-256 of a text, after checking that it is one and that every model can read bytes."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise BadTarget(f"the text {path} cannot be read ({error.strerror}); give the path of a text file.") from None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadTarget(
            f"the text {path} is not UTF-8 (byte {error.start} is {content[error.start]:#04x}); convert it first."
        ) from None
    if not content:
        raise BadTarget(f"the text {path} is empty; give one with at least one character.")
    for name, subject in subjects.items():
        vocabulary = subject.letters().get("U")
        if vocabulary is None or vocabulary < 256:
            raise BadSize(
                f"{name} has a vocabulary of {vocabulary}; a text is read as bytes: set vocab to 256 or more."
            )
    return hashlib.sha256(content).hexdigest()


def _jobs(
    subjects: Mapping[str, Subject], lengths: Sequence[int], request: Request, threads: int | None, digest: str | None
) -> dict[tuple[str, int], Job]:
    batch, dtype = request.B or 1, request.dtype or "float32"
    longest = max(lengths) * batch
    if longest > LONGEST_RUN:
        raise BadSize(
            f"a run over {longest:,} tokens was asked for; runs take at most {LONGEST_RUN:,}: give shorter --lengths, "
            "or leave --measure out, formulas take any length."
        )
    cores = threads or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return {
        (name, length): Job(
            target=subject.runnable(),
            phase=request.phase,
            B=batch,
            T=length,
            dtype=dtype,
            threads=cores,
            text_sha256=digest,
        )
        for name, subject in subjects.items()
        for length in lengths
    }


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
