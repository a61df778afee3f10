"""Which is cheaper, and from which length on? Several targets side by side: formula, trace and real runs.

Each target at each length is counted by formula; the trace of the working layer confirms the FLOPs; with `measure`
each is run in a process of its own and the record stands beside. Crossovers: in FLOPs and bytes solved from the
formulas, to the token; in measured time and memory interpolated between the lengths that bracket them.
"""

import hashlib
import itertools
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqcost.algebra import Polynomial
from seqcost.algebra.crossings import FARTHEST, crossings
from seqcost.algebra.quasi import QuasiPolynomial
from seqcost.errors import BadSize, BadTarget, UnknownName
from seqcost.formulas.catalogue import configure, entry
from seqcost.formulas.ops.workload import Workload
from seqcost.formulas.parts.component import Component
from seqcost.measure import Limits, sweep
from seqcost.questions.complexity import complexity_row
from seqcost.questions.cost import Count
from seqcost.questions.count import count, longest_text, whole
from seqcost.questions.targets import resolve_sizes, spec_of
from seqcost.records import Job, Run, Store

LONGEST_RUN = 2**31  # tokens of a batch that a real run is started for
SOLVED = ("flops", "bytes_moved", "saved_bytes", "state_bytes")
MEASURED = {"time": "median_s", "peak memory": "peak_allocated_bytes"}


@dataclass(frozen=True)
class Point:
    """One target at one length."""

    target: str
    length: int
    count: Count
    path_length: int
    run: Run | None = None


@dataclass(frozen=True)
class Agreement:
    """Whether the traced working layer costs what the formula says, at one length."""

    target: str
    length: int
    formula_flops: int
    traced_flops: int
    rung: str
    peak_bytes: int | None

    @property
    def agrees(self) -> bool:
        """To the FLOP."""
        return self.formula_flops == self.traced_flops


@dataclass(frozen=True)
class Crossover:
    """From `length` on, `rising` costs more than `other`; `low` and `high` are the measured lengths around it."""

    quantity: str
    rising: str
    other: str
    length: float
    how: str  # "solved" or "interpolated"
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True)
class Dominance:
    """`costly` costs more than `cheap` at every length from 1 to `farthest`: there is no crossover."""

    quantity: str
    costly: str
    cheap: str
    farthest: int = FARTHEST


@dataclass(frozen=True)
class Comparison:
    """The answer: points, agreement, crossovers and the complexity table, all computed from the same formulas."""

    targets: tuple[str, ...]
    lengths: tuple[int, ...]
    phase: str
    points: tuple[Point, ...]
    agreement: tuple[Agreement, ...]
    crossovers: tuple[Crossover, ...]
    dominances: tuple[Dominance, ...]
    complexity: tuple[Mapping[str, str], ...]
    families: Mapping[str, str]  # of each target, for a report that groups them

    def of(self, target: str) -> tuple[Point, ...]:
        """Points of one target by length."""
        return tuple(point for point in self.points if point.target == target)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "targets": list(self.targets),
            "lengths": list(self.lengths),
            "phase": self.phase,
            "points": [_point_row(point) for point in self.points],
            "agreement": [vars(a) | {"agrees": a.agrees} for a in self.agreement],
            "crossovers": [vars(c) for c in self.crossovers],
            "dominances": [vars(d) for d in self.dominances],
            "complexity": [dict(row) for row in self.complexity],
            "families": dict(self.families),
            "runs": [point.run.to_dict() for point in self.points if point.run is not None],
        }

    def __str__(self) -> str:
        from seqcost.report.comparisons import tables
        from seqcost.report.table import as_text

        return as_text(tables(self.to_dict()))

    def _repr_html_(self) -> str:
        from seqcost.report.notebook import comparison_html

        return comparison_html(self.to_dict())


def _point_row(point: Point) -> dict[str, Any]:
    cost, run = point.count.to_dict(), point.run
    keys = ("flops", "pointwise", "params", "bytes_moved", "saved_bytes", "state_bytes", "depth")
    measured = (
        {}
        if run is None
        else {
            "status": run.status,
            "median_s": run.median_s,
            "interval_s": run.interval_s,
            "peak_allocated_bytes": run.peak_allocated_bytes,
            "peak_resident_bytes": run.peak_resident_bytes,
            "reason": run.reason,
        }
    )
    head = {"target": point.target, "T": point.length, "B": cost["sizes"]["B"]}
    return head | {key: cost[key] for key in keys} | {"path_length": point.path_length} | measured


def compare(
    targets: Sequence[str],
    *,
    lengths: int | Sequence[int],
    sizes: Mapping[str, Any] | None = None,
    batch: int = 1,
    phase: str = "forward",
    dtype: str = "float32",
    trace: bool = True,
    measure: bool = False,
    text: str | os.PathLike[str] | None = None,
    store: str | os.PathLike[str] | None = None,
    limits: Limits | None = None,
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
        Tokens T: one length or several.
    measure
        Also run each on this machine: `phase` once per repetition, in a started process, kept in `store`.
    text
        A UTF-8 file whose bytes are the tokens of the measured runs.
    on_start
        Called with each job before it is really run, and with each target before it is counted.

    """
    names = _distinct(targets)
    ordered = sorted({whole(length, "length") for length in ([lengths] if isinstance(lengths, int) else lengths)})
    if not ordered:
        raise BadSize("no length was given; give at least one whole number.")
    fitting = {name: _fitting(name, sizes or {}) for name in names}
    refused = sorted(set(sizes or {}) - {word for given in fitting.values() for word in given})
    if refused:
        raise UnknownName.among(f"size of {', '.join(names)}", refused[0], set().union(*map(_fields, names)))
    configs = {name: configure(name, **resolve_sizes(name, fitting[name])) for name in names}
    runs: dict[tuple[str, int], Run] = {}
    digest = None if text is None else text_digest(text, configs)
    if measure:
        jobs = _jobs(fitting, ordered, batch, phase, dtype, threads, digest)
        with Store(store) as kept:
            found = sweep(list(jobs.values()), kept, limits, on_start=on_start, again=again, text_path=text)
            runs = dict(zip(jobs, found, strict=True))
    points: list[Point] = []
    for name in names:
        if on_start is not None:
            on_start(f"counting {name}")
        counts = count(name, sizes=fitting[name], length=ordered, batch=batch, phase=phase, dtype=dtype)
        points += [
            Point(name, length, counted, _path(configs[name], length), runs.get((name, length)))
            for length, counted in zip(ordered, counts, strict=True)
        ]
    solved, dominances = _solved(points)
    return Comparison(
        targets=tuple(names),
        lengths=tuple(ordered),
        phase=phase,
        points=tuple(points),
        agreement=_agreement(points[:: len(ordered)], fitting, configs) if trace else (),
        crossovers=(*solved, *_interpolated(points)),
        dominances=tuple(dominances),
        complexity=tuple(complexity_row(name) for name in names),
        families={name: entry(name).family or entry(name).group for name in names},
    )


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


def _agreement(
    points: Sequence[Point], fitting: Mapping[str, Any], configs: Mapping[str, Component]
) -> tuple[Agreement, ...]:
    """The traces of these points beside their formulas; at the longest text where a layer does not take the length."""
    out = []
    for point in points:
        length = min(point.length, longest_text(configs[point.target]) or point.length)
        asked = {
            "sizes": fitting[point.target],
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
    return tuple(out)


def _solved(points: Sequence[Point]) -> tuple[list[Crossover], list[Dominance]]:
    """Crossovers of every pair from the formulas, wherever both are polynomials in T; or that there is none."""
    first_of = {point.target: point.count for point in reversed(points)}
    found: list[Crossover] = []
    none: list[Dominance] = []
    for quantity in SOLVED:
        curves = {name: c.polynomials.get(quantity) for name, c in first_of.items()}
        exact = {name: curve for name, curve in curves.items() if isinstance(curve, Polynomial | QuasiPolynomial)}
        for a, b in itertools.combinations(exact.items(), 2):
            crossed = crossings(a, b)
            found += [Crossover(quantity, c.rising, c.other, c.length, "solved") for c in crossed]
            difference = a[1](FARTHEST) - b[1](FARTHEST)
            if not crossed and difference:
                none.append(Dominance(quantity, *((a[0], b[0]) if difference > 0 else (b[0], a[0]))))
    return found, none


def _interpolated(points: Sequence[Point]) -> list[Crossover]:
    """Crossovers of every pair in what was measured: straight lines between measured points, both axes logarithmic."""
    out = []
    for quantity, attribute in MEASURED.items():
        curves: dict[str, dict[int, float]] = {}
        for point in points:
            value = None if point.run is None else getattr(point.run, attribute)
            if value:
                curves.setdefault(point.target, {})[point.length] = float(value)
        for (a, curve_a), (b, curve_b) in itertools.combinations(curves.items(), 2):
            shared = sorted(curve_a.keys() & curve_b.keys())
            for low, high in itertools.pairwise(shared):
                before, after = (math.log(curve_a[n] / curve_b[n]) for n in (low, high))
                if before * after < 0:
                    share = before / (before - after)
                    length = math.exp(math.log(low) + share * math.log(high / low))
                    names = (a, b) if after > 0 else (b, a)
                    out.append(Crossover(quantity, *names, round(length, 1), "interpolated", low, high))
    return out
