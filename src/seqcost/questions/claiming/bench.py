"""Real runs that claims share: collected first, made in one sweep that spreads them over time, looked up afterwards.

With `quick` nothing is started: what is on record stands, everything else is unknown.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from seqcost.formulas.catalogue import entry
from seqcost.questions.answers.claims import Figure, Source
from seqcost.questions.asked.runs import Runs
from seqcost.questions.targets.resolve import resolve
from seqcost.records import Job, Pooled, Store, pool, this_environment

MODEL = {"D": 256, "L": 2, "H": 4}  # language models that a laptop runs in seconds
LAYER = {"D": 512, "H": 8}  # the bare layers of the pages
WAITING = "waiting: somebody else measures on this machine"
UNMEASURED = "not measured; leave --quick out"


@dataclass(frozen=True)
class Wanted:
    """One real run: a name of the catalogue, a length, a phase, sizes; on all cores or on one."""

    name: str
    T: int
    phase: str = "forward"
    alone: bool = False  # one thread
    once: bool = False  # its peak is asked for, not its time: allocations are counted, and one process tells them
    sizes: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(
        cls, name: str, T: int, phase: str = "forward", *, alone: bool = False, once: bool = False, **sizes: Any
    ) -> "Wanted":
        """With the sizes of `MODEL`, or of `LAYER` for a bare layer, as far as the name has them."""
        return cls(name, T, phase, alone, once, tuple((fitting(name, usual(name)) | sizes).items()))

    def job(self, cores: int) -> Job:
        """What is run."""
        target = resolve(self.name, dict(self.sizes)).runnable()
        return Job(target=target, phase=self.phase, B=1, T=self.T, threads=1 if self.alone else cores)


def usual(name: str) -> dict[str, int]:
    """The sizes that claims are looked at with; a preset has its own."""
    return {"mixer": LAYER, "block": LAYER, "model": MODEL}.get(entry(name).group, {})


def fitting(name: str, sizes: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes that a name has."""
    return {letter: size for letter, size in sizes.items() if letter in entry(name).fields}


@dataclass
class Bench:
    """What was run, by what was wanted."""

    quick: bool = False
    cores: int = 1
    runs: Mapping[Wanted, Pooled] = field(default_factory=dict)

    def time(self, wanted: Wanted, what: str) -> Figure:
        """Median seconds of a run, with the interval between its processes."""
        run = self.runs.get(wanted)
        if run is None or run.median_s is None:
            return Figure(what=what, value=None, unit="s", source=Source.MEASURED, why=self._why(run))
        low, high = run.interval_s or (None, None)
        return Figure(
            what=what, value=run.median_s, unit="s", source=Source.MEASURED, low=low, high=high, busy=run.is_disturbed
        )

    def peak(self, wanted: Wanted, what: str) -> Figure:
        """Most bytes that tensors of a run held."""
        run = self.runs.get(wanted)
        peak = None if run is None else run.peak_allocated_bytes
        return Figure(what=what, value=peak, unit="B", source=Source.MEASURED, why="" if peak else self._why(run))

    def _why(self, run: Pooled | None) -> str:
        return UNMEASURED if run is None else run.reason or "not known"


def ratio(what: str, over: Figure, under: Figure) -> Figure:
    """How many times one is another, with the widest interval that theirs allow."""
    if not (over.known and under.known):
        missing = over if not over.known else under
        return Figure(what=what, value=None, unit="×", source=over.source, why=missing.why)
    bounded = over.low is not None and under.low is not None
    return Figure(
        what=what,
        value=over.value / under.value,
        unit="×",
        source=over.source,
        low=over.low / under.high if bounded else None,  # type: ignore[operator]
        high=over.high / under.low if bounded else None,  # type: ignore[operator]
        busy=over.busy or under.busy,
    )


def filled(
    wanted: Iterable[Wanted], how: Runs, *, quick: bool, on_start: Callable[[Any], object] | None = None
) -> Bench:
    """A bench on which everything wanted was run, or with `quick` what is on record."""
    jobs = {one: one.job(how.cores) for one in dict.fromkeys(wanted)}
    runs: dict[Wanted, Pooled] = {}
    if jobs and quick:
        with Store(how.store) as kept:
            here = this_environment()
            known = {one: [*kept.runs(job=job, environment=here, status="ok")] for one, job in jobs.items()}
        runs = {one: pool(found, len(found)) for one, found in known.items() if found}
    elif jobs:
        timed = {one: job for one, job in jobs.items() if not one.once}
        others = {one: job for one, job in jobs.items() if one.once}
        runs = _swept(timed, how, how.processes, on_start) | _swept(others, how, 1, on_start)
    return Bench(quick, how.cores, runs)


def _swept(
    jobs: Mapping[Wanted, Job], how: Runs, processes: int, on_start: Callable[[Any], object] | None
) -> dict[Wanted, Pooled]:
    from seqcost.measure import sweep

    with Store(how.store) as kept:
        made = sweep(
            list(jobs.values()),
            kept,
            how.limits,
            processes=processes,
            retries=how.retries or 0,
            on_start=on_start,
            on_wait=None if on_start is None else partial(on_start, WAITING),
            again=how.again,
        )
    return dict(zip(jobs, made, strict=True))
