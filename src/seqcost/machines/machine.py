"""A machine as predictions see it: limits, costs of a call, kernels as they were timed; each number with its source.

SI base units throughout: bytes, seconds, FLOP/s, B/s. What is not known is not there: no number stands in for it.
Not covered: energy, price, and how several devices share a link.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from seqcost.machines import checks
from seqcost.machines.values import Cache, Learnt, Series, Value


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One device of one kind, or this very machine with a number of threads.

    Raises BadMachine where a number cannot be, has another unit than its place asks for, or a word is not known.
    """

    name: str  # as it is asked for
    title: str
    device: str  # cpu, gpu or tpu
    edition: str  # of the profile: the day (and time) it speaks of, ISO 8601
    aliases: tuple[str, ...] = ()  # other names, that of the driver among them
    threads: int | None = None  # of a CPU's profile that was measured
    memory: Value  # B
    bandwidth: Value | None = None  # B/s, of the device's main memory
    peaks: Mapping[str, Value] = field(default_factory=dict)  # format -> FLOP/s, dense; of float32 without TF32
    caches: tuple[Cache, ...] = ()
    links: Mapping[str, Value] = field(default_factory=dict)  # B/s in one direction; see checks.LINKS
    launch: Value | None = None  # s, an empty kernel by the device, back to back
    dispatch: Value | None = None  # s, the host's time of one operator called from Python, without gradients
    fresh: Value | None = None  # s/B, of memory that the system has to give first (page faults of a CPU)
    again: Value | None = None  # of a small launch that follows itself: its time as a share of one that follows others
    inner: Value | None = None  # the same of one in a loop of PyTorch's own, which nobody calls
    stray: Value | None = None  # how a run's time strays from the next one's: standard deviation of its logarithm
    host: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)  # operator -> plain, recording, backward: s
    context_bytes: Value | None = None  # B of the device that a process takes before its first tensor
    rounding: Mapping[str, Value] = field(default_factory=dict)  # B, of the allocator; see checks.ROUNDING
    workspaces: Mapping[str, Value] = field(default_factory=dict)  # call -> B kept in the allocator after the first
    libraries: Mapping[str, Value] = field(default_factory=dict)  # call -> B of the device beside the allocator
    series: tuple[Series, ...] = ()
    environment: Mapping[str, object] = field(default_factory=dict)  # what a measured profile depends on
    error: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # kernel or "all" -> median, p90 left out
    learnt: Mapping[str, Learnt] = field(default_factory=dict)  # format -> what whole runs taught

    def __post_init__(self) -> None:
        checks.check_identity(self.name, self.device, self.edition, self.threads)
        for table in checks.WORDS:
            checks.check_words(table, getattr(self, table))
        checks.check_caches(self.caches)
        checks.check_host(self.host)
        for place, value in self.values():
            checks.check_value(place, value)
        for number, series in enumerate(self.series, 1):
            checks.check_series(f"series {number} ({series.operator})", series)
        checks.check_error(self.error)
        checks.check_learnt(self.learnt)

    @property
    def key(self) -> str:
        """Name and edition: "h100@2026-11-27"."""
        return f"{self.name}@{self.edition}"

    @property
    def is_measured(self) -> bool:
        """Whether kernels were timed on it."""
        return bool(self.series)

    def taken(self) -> Iterator[tuple[str, int]]:
        """Bytes of the device that a process has besides its tensors, by what they are for, as far as is known."""
        if self.context_bytes is not None and self.context_bytes.amount:
            yield "context", int(self.context_bytes.amount)
        for what, table in (("libraries", self.libraries), ("workspaces", self.workspaces)):
            if size := int(sum(value.amount for value in table.values())):
                yield what, size

    def values(self) -> Iterator[tuple[str, Value]]:
        """Every number with its place: "memory", "peaks.bfloat16", "caches.L2.size", "host.linear.plain"."""
        for name in checks.SINGLE:
            value = getattr(self, name)
            if value is not None:
                yield name, value
        for name in checks.TABLES:
            yield from ((f"{name}.{word}", value) for word, value in getattr(self, name).items())
        for cache in self.caches:
            yield f"caches.{cache.name}.size", cache.size
            if cache.bandwidth is not None:
                yield f"caches.{cache.name}.bandwidth", cache.bandwidth
        for operator, ways in self.host.items():
            yield from ((f"host.{operator}.{way}", value) for way, value in ways.items())
        for dtype, learnt in self.learnt.items():
            yield from ((f"learnt.{dtype}.{place}", value) for place, value in learnt.values())
