"""Which is cheaper, and from which length on? Several targets side by side: formula, trace and real runs.

Each target at each length is counted by formula; the trace of the working layer confirms the FLOPs; with `measure`
each is run in a process of its own and the record stands beside. Crossovers: in FLOPs and bytes solved from the
formulas, to the token; in measured time and memory interpolated between the lengths that bracket them.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqcost.algebra.formats import dtype_named
from seqcost.errors import BadSize, BadTarget, UnknownName, shortened
from seqcost.formulas.catalogue import configure, entry
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.workload import Workload
from seqcost.questions.answers.comparison import Agreement, Comparison, Point
from seqcost.questions.answers.complexity import complexity_row
from seqcost.questions.answers.count import Count
from seqcost.questions.answers.verdicts import balances, cheapest_of, interpolated, solved
from seqcost.questions.asked.arguments import a_path, flag, sizes_in
from seqcost.questions.asked.lengths import lengths_in, whole
from seqcost.questions.count import count, longest_text
from seqcost.questions.targets.kinds import resolve_sizes, spec_of
from seqcost.records import Job, Run, Store

if TYPE_CHECKING:
    from seqcost.measure import Limits

LONGEST_RUN = 2**31  # tokens of a batch that a real run is started for
WAITING = "waiting: somebody else measures on this machine"


def compare(
    targets: Sequence[str],
    *,
    lengths: int | str | Sequence[int | str],
    sizes: Mapping[str, Any] | None = None,
    batch: int | str = 1,
    phase: str = "forward",
    dtype: Any = "float32",
    trace: bool = True,
    measure: bool = False,
    text: str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    limits: "Limits | None" = None,
    threads: int | None = None,
    again: bool = False,
    on_start: Callable[[Job | str], object] | None = None,
) -> Comparison:
    """Compare architectures or presets over lengths.

    Parameters
    ----------
    targets
        Names of the catalogue; the same `sizes` go to each that has them (H goes to attention only).
    lengths
        Tokens T: one length or several, as numbers or as text ("64..8k").
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
    >>> answer = compare(["transformer", "mamba"], lengths="1k..4k", sizes={"D": 256, "L": 2}, trace=False)
    >>> [(row.rising, row.other, row.length) for row in answer.crossovers if row.quantity == "flops"]
    [('transformer', 'mamba', 2)]

    """
    names, sizes = _distinct(targets), sizes_in(sizes)
    batch, dtype = whole(batch, "batch"), dtype_named(dtype)
    trace, measure, again = flag(trace, "trace"), flag(measure, "measure"), flag(again, "again")
    ordered = sorted(set(lengths_in(lengths, "lengths")))
    fitting = {name: _fitting(name, sizes) for name in names}
    refused = sorted(set(sizes) - {word for given in fitting.values() for word in given})
    if refused:
        raise UnknownName.among(f"size of {', '.join(names)}", refused[0], set().union(*map(_fields, names)))
    configs = {name: configure(name, **resolve_sizes(name, fitting[name])) for name in names}
    runs: dict[tuple[str, int], Run] = {}
    digest = None if text is None else text_digest(a_path(text, "text"), configs)
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

        jobs = _jobs(fitting, ordered, batch, phase, dtype, threads, digest)
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
    for name in names:
        if on_start is not None:
            on_start(f"counting {name}")
        counts = count(name, sizes=fitting[name], length=ordered, batch=batch, phase=phase, dtype=dtype)
        points += [
            Point(name, length, counted, _path(configs[name], length), runs.get((name, length)))
            for length, counted in zip(ordered, counts, strict=True)
        ]
    crossovers, dominances = solved(points)
    found = Comparison(
        targets=tuple(names),
        lengths=tuple(ordered),
        phase=phase,
        points=tuple(points),
        agreement=(),
        crossovers=(*crossovers, *interpolated(points)),
        dominances=tuple(dominances),
        complexity=tuple(complexity_row(name) for name in names),
        cheapest=tuple(cheapest_of(points)),
        balances=tuple(balances(points)),
        families={name: entry(name).family or entry(name).group for name in names},
    )
    return confirmed(found, sizes) if trace else found


def _are_limits(given: Any) -> bool:
    from seqcost.measure import Limits

    return isinstance(given, Limits)


def _distinct(targets: Sequence[str]) -> list[str]:
    if isinstance(targets, str) or not isinstance(targets, Iterable):
        raise BadTarget(f"targets = {targets!r} was given; a list of names is allowed: ['transformer', 'lstm'].")
    for target in targets:
        if not isinstance(target, str):
            raise BadTarget(
                f"a {type(target).__name__} was given; names of architectures and presets can be compared: put a "
                "module beside another target with seqcost.diff, or count each with seqcost.count."
            )
        entry(target)
    names = list(dict.fromkeys(targets))
    if not names:
        raise BadTarget("no target was given; name at least one architecture, such as transformer.")
    return names


def _fitting(name: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes that this target has: one command line serves an attention model and an RNN alike."""
    letters = resolve_sizes(name, sizes)
    fields = _fields(name)
    return {word: sizes[word] for word, letter in zip(sizes, letters, strict=True) if letter in fields}


def _fields(name: str) -> set[str]:
    return set(entry(name).fields)


def _path(config: Component, length: int) -> int:
    run = Workload(T=length, S=config.source_tokens(length) if config.takes_source else 0)
    return int(config.path_length(run).total())


def text_digest(path: str | os.PathLike[str], configs: Mapping[str, Component]) -> str:
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
    for name, config in configs.items():
        vocabulary = getattr(config, "U", None)
        if vocabulary is None or vocabulary < 256:
            raise BadSize(
                f"{name} has a vocabulary of {vocabulary}; a text is read as bytes: set vocab to 256 or more."
            )
    return hashlib.sha256(content).hexdigest()


def _jobs(
    fitting: Mapping[str, Any],
    lengths: Sequence[int],
    batch: int,
    phase: str,
    dtype: str,
    threads: int | None,
    digest: str | None,
) -> dict[tuple[str, int], Job]:
    longest = max(lengths) * batch
    if longest > LONGEST_RUN:
        raise BadSize(
            f"a run over {longest:,} tokens was asked for; runs take at most {LONGEST_RUN:,}: give shorter --lengths, "
            "or leave --measure out, formulas take any length."
        )
    cores = threads or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return {
        (name, length): Job(
            target=spec_of(name, sizes),
            phase=phase,
            B=batch,
            T=length,
            dtype=dtype,
            threads=cores,
            text_sha256=digest,
        )
        for name, sizes in fitting.items()
        for length in lengths
    }


def confirmed(comparison: Comparison, sizes: Mapping[str, Any] | None = None) -> Comparison:
    """The same with the trace of each working layer beside its formula, at the shortest length, which takes a while.

    A layer that does not take that length is traced at the longest that it takes. `sizes` are those of the comparison.
    """
    out = []
    for point in (comparison.of(name)[0] for name in comparison.targets):
        fitting = _fitting(point.target, sizes or {})
        most = longest_text(configure(point.target, **resolve_sizes(point.target, fitting)))
        length = min(point.length, most or point.length)
        asked: dict[str, Any] = {
            "sizes": fitting,
            "length": length,
            "batch": point.count.sizes["B"],
            "phase": point.count.phase,
            "dtype": point.count.dtype,
        }
        formula: Count = point.count if length == point.length else count(point.target, **asked)
        traced: Count = count(point.target, trace=True, **asked)
        assert formula.flops is not None, "a name of the catalogue has a formula"
        assert traced.flops is not None
        out.append(Agreement(point.target, length, formula.flops, traced.flops, traced.rung, traced.peak_bytes))
    return replace(comparison, agreement=tuple(out))
