"""What a trace answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from seqcost.algebra import Bill
from seqcost.algebra.curve import Curve
from seqcost.algebra.peak import PeakMemory
from seqcost.algebra.work import Beside, Row

Rung = Literal["fake tensors", "real tensors"]


@dataclass(frozen=True)
class Uncounted:
    """An operator that no formula is known for; its FLOPs are missing from the bill, its bytes are not."""

    operator: str
    path: str
    calls: int
    moved_bytes: int


@dataclass(frozen=True)
class Coverage:
    """Shares of the run that the bill counts, from 0 to 1."""

    operators: float
    moved_bytes: float


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Cost of one phase of a module at B sequences of T tokens.

    `polynomials` has each total as a function of T: `flops`, `pointwise`, `bytes_moved`, `saved_bytes`, `state_bytes`,
    `depth`, `peak_bytes`; in T and ⌈T/c⌉ where the length is rounded up to blocks of c, samples where no formula
    passes through the lengths seen, nothing where only one length can be seen (`no_polynomials` says why). `range` is
    from the shortest length at which all formulas hold to the longest one seen. `saved` is what a pass with gradients
    keeps, None where that cannot be seen (`no_saved` says why). `peak_bytes` is None where
    the run at T was too long to follow and the peak is no polynomial.

    `memory` says what the peak consists of; `timeline` has a row (operator index, live bytes, phase) for every operator
    of the step, and `timeline_categories` the same bytes divided as in `memory`. Where the run at T was derived from
    shorter ones `memory` is None and the timeline empty.

    `B`, `T`, `S` (None: no source) and `dtype`, the format of most weights, are of what ran. `conventions` says where
    they were read, and what else the module holds; a program from a file has a `fixed_dtype`.
    `unused` are the parameters that took part in no operator, and their elements. `longest` is the length at which a
    table that is looked up by position ends, None where none was seen to.
    `trainable_params` are the scalars among `params` that a training step trains, None where the target does not say
    (`no_trainable` says why).
    `rows` are what `flops`, `traffic`, `uncounted` and `coverage` are readings of, apart by shapes. Where the run at T
    was derived from shorter ones, shapes are formulas of theirs as well, all launches of an operator by a module are
    one row without sizes where they are not (a step whose shapes depend on the step), and one last row `chain` stands
    for the steps of all. `weights` has the parameters' shapes,
    `trained` the names of those that are trained. `beside` is what Python did beside their launches, at the longest
    length that was run.
    """

    phase: str
    B: int
    T: int
    rung: Rung
    flops: Bill
    traffic: Bill
    saved: Bill | None
    params: int
    trainable_params: int | None
    state_bytes: int | None
    depth: int
    peak_bytes: int | None
    uncounted: tuple[Uncounted, ...]
    coverage: Coverage
    polynomials: Mapping[str, Curve]
    no_polynomials: str
    lengths: tuple[int, ...]
    range: tuple[int, int]
    failed_rungs: tuple[str, ...] = ()
    no_saved: str = ""
    no_trainable: str = ""
    memory: PeakMemory | None = None
    timeline: tuple[tuple[int, int, str], ...] = ()
    timeline_categories: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    optimizer: str | None = None
    accumulate: int = 1
    conventions: Mapping[str, str] = field(default_factory=dict)
    S: int | None = None
    dtype: str = "float32"
    fixed_dtype: bool = False
    rows: tuple[Row, ...] = ()
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    trained: frozenset[str] = frozenset()
    unused: Mapping[str, int] = field(default_factory=dict)
    longest: int | None = None
    beside: Beside | None = None

    @property
    def seen_to(self) -> int:
        """The longest length that was run."""
        return max(self.lengths)

    @property
    def extrapolated(self) -> bool:
        """Whether T is beyond all lengths that were run, so that the cost there is that of the formulas."""
        return self.seen_to < self.T

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "phase": self.phase,
            "B": self.B,
            "T": self.T,
            "S": self.S,
            "dtype": self.dtype,
            "rung": self.rung,
            "flops": self.flops.to_dict(),
            "traffic": self.traffic.to_dict(),
            "saved": self.saved and self.saved.to_dict(),
            "params": self.params,
            "trainable_params": self.trainable_params,
            "state_bytes": self.state_bytes,
            "depth": self.depth,
            "peak_bytes": self.peak_bytes,
            "uncounted": [vars(entry) for entry in self.uncounted],
            "coverage": vars(self.coverage),
            "polynomials": {name: found.to_dict() for name, found in self.polynomials.items()},
            "no_polynomials": self.no_polynomials,
            "lengths": list(self.lengths),
            "range": list(self.range),
            "seen_to": self.seen_to,
            "extrapolated": self.extrapolated,
            "unused": dict(self.unused),
            "failed_rungs": list(self.failed_rungs),
            "memory": self.memory and self.memory.to_dict(),
            "optimizer": self.optimizer,
            "accumulate": self.accumulate,
        }
