"""What a machine is made of: a number with its source, a cache, a kernel timed at several sizes, what runs taught."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum


class Worth(StrEnum):
    """How a number came to be known."""

    MEASURED = "measured"  # on such a machine, by the kernels of `seqcost.measure`
    DATASHEET = "datasheet"  # said by the maker; a limit that no program need reach
    ASSUMED = "assumed"  # worked out or taken from its like; the source says how


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One number of a machine.

    `source` is the data sheet with its address, the run, or the reason of an assumption; `date` is when that was
    published, measured or looked up (ISO 8601). `error` is half the width of a 90 % interval relative to the amount.
    """

    amount: float
    unit: str
    kind: Worth
    source: str
    date: str
    error: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """One level of cache, all that the device has of it together, and the bytes a second that come from it."""

    name: str  # L1, L2, L3
    size: Value
    bandwidth: Value | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One kernel timed at several sizes.

    `seconds` is the device's own time of one launch, on a CPU the time of a call; `low` and `high` are the quartiles
    of its repetitions. `sizes` go with the kernel as `algebra.work.Kernel` says, and so do `flops` and `bytes`.
    """

    kernel: str  # a value of algebra.work.Kernel
    operator: str  # "linear", "bmm", "attention", "add", "softmax", ...
    direction: str  # a value of algebra.work.Direction
    dtype: str
    pool: int = 0  # bytes that operands take turns in; 0: each launch on those of the one before
    again: bool = False  # each launch follows itself, as in a loop over time
    causal: bool = False
    tf32: bool = False  # products of float32 in TF32
    date: str
    source: str
    sizes: tuple[tuple[int, ...], ...]
    flops: tuple[float, ...]
    bytes: tuple[float, ...]
    seconds: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __len__(self) -> int:
        """Points."""
        return len(self.sizes)


OWN_MODELS = "seqcost calibrate: models of its own"  # the source of what they teach


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What whole runs taught of a machine in one format, beside the kernels of its profile.

    A part of a run takes its factor times that of the run's phase of what the profile says; see `prediction.learnt`.
    The errors are of targets that were held out: median and 90th percentile of |predicted / measured − 1|.
    """

    parts: Mapping[str, Value]
    phases: Mapping[str, Value]
    spread: Value  # how far whole models stray still: standard deviation of the logarithm
    num_runs: int
    num_targets: int
    before: tuple[float, float]
    after: tuple[float, float]

    @property
    def is_of_records(self) -> bool:
        """Whether runs on record taught it, and not a calibration's own models, which run with every one."""
        return any(value.source != OWN_MODELS for value in (*self.parts.values(), *self.phases.values()))

    @property
    def runs(self) -> str:
        """How many of which taught it, in words."""
        which = "targets" if self.is_of_records else "models of its own"
        return f"{self.num_runs:,} runs of {self.num_targets:,} {which}"

    def values(self) -> Iterator[tuple[str, Value]]:
        """Every number with its place: "spread", "parts.calls", "phases.train"."""
        yield "spread", self.spread
        yield from ((f"parts.{part}", value) for part, value in self.parts.items())
        yield from ((f"phases.{phase}", value) for phase, value in self.phases.items())
