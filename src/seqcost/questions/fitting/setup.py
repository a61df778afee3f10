"""A way of running a target: the target and the request, and what was changed so that it needs less memory.

A setup answers with looks: its peak, what that consists of, and its rows of work. By formula where there is one; where
something is asked that formulas do not cover (an optimizer, a module that was changed) by a trace of the layer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from seqcost.algebra.peak import PeakMemory, alike
from seqcost.algebra.work import Row
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.workload import Workload
from seqcost.questions.answers.formula import Reading
from seqcost.questions.answers.phases import Phase, by_formula, peak_by_formula
from seqcost.questions.asked.request import Request
from seqcost.questions.targets.subject import Subject

SHARDS = 8  # devices that share the optimizer's states
LARGEST_TENSORS = 32  # tensors at the peak that are told
Part = tuple[tuple[Row, ...], Fraction]  # rows of work, and how often they are done


@dataclass(frozen=True, kw_only=True)
class Look:
    """One size: the peak and what it consists of, and the work that is done."""

    peak_bytes: int
    memory: PeakMemory | None
    work: tuple[Part, ...]
    rung: str
    sizes: Mapping[str, Any]  # as they ran
    dtype: str

    @property
    def flops(self) -> int:
        """Contractions and pointwise operations."""
        return self._sum(lambda row: row.contraction + row.pointwise)

    @property
    def bytes_moved(self) -> int:
        """Bytes read and written."""
        return self._sum(lambda row: row.bytes)

    @property
    def launches(self) -> int:
        """Kernels."""
        return self._sum(lambda row: row.launches)

    def _sum(self, amount: Callable[[Row], Any]) -> int:
        return int(sum(weight * sum(amount(row) for row in rows) for rows, weight in self.work))


@dataclass(frozen=True, kw_only=True)
class Setup:
    """A target as it is run: `changes` are those made to its module, by name (see programs.changes).

    `chunk` is how many tokens are given at a time, the state carried on (None: all at once). `states` is what becomes
    of the optimizer's: nothing else (""), "8-bit" or "sharded".
    """

    subject: Subject
    request: Request
    changes: Mapping[str, Any] = field(default_factory=dict)
    chunk: int | None = None
    states: str = ""

    @property
    def formula(self) -> Component | None:
        """What answers without a trace; None where a trace is needed."""
        return None if self.changes or self.request.needs_trace else self.subject.config

    def with_request(self, **changes: Any) -> "Setup":
        """The same at another length or batch, or in another format."""
        return replace(self, request=replace(self.request, **changes))

    def look(self, *, apart: bool = True) -> Look:
        """Peak and work at the length and batch of the request; `apart`, the tensors at the peak as well."""
        config = self.formula
        assert config is not None, "a trace looks elsewhere: see traced"
        T, run, phase = self._asked(config)
        answer = self._phase(config, run, T)
        memory = peak_by_formula(config, run, phase, apart=apart)
        sizes = {"B": run.B, "T": T} | ({"S": run.S} if config.takes_source else {})
        return Look(
            peak_bytes=int(answer.peak_bytes),
            memory=replace(memory, tensors=alike(memory.tensors, LARGEST_TENSORS)),
            work=self._work(config, answer.rows, T),
            rung="formula",
            sizes=sizes,
            dtype=self.request.dtype or "float32",
        )

    def peak_bytes(self) -> int:
        """The peak alone; of a setup with a formula."""
        config = self.formula
        assert config is not None, "a trace looks elsewhere: see traced"
        T, run, _ = self._asked(config)
        return int(self._phase(config, run, T).peak_bytes)

    def _work(self, config: Component, last: tuple[Row, ...], T: int) -> tuple[Part, ...]:
        """What all calls do together: of pieces that carry on, each one's work grows evenly with what came before."""
        if self.chunk is None or self.chunk >= T:
            return ((last, Fraction(1)),)
        run, pieces = self.request.workload(config, T), T // self.chunk

        def piece(P: int, new: int) -> tuple[Row, ...]:
            return by_formula(config, replace(run, T=new, P=P), "prefill", chained=False).rows

        c, more = self.chunk, Fraction(pieces - 1, 2)
        work = [(piece(0, c), Fraction(1))]
        if pieces > 1:
            work += [(piece(c, c), more), (piece((pieces - 1) * c, c), more)]
        if T % c:
            work.append((piece(pieces * c, T % c), Fraction(1)))
        return tuple(work)

    def _phase(self, config: Component, run: Workload, T: int) -> Phase:
        if self.chunk is not None:
            return by_formula(config, run, "prefill", remembering=True)
        return Reading(self.subject.name, config, self.request.at(None)).phase(T)

    def _asked(self, config: Component) -> tuple[int, Workload, str]:
        T = self.request.T
        assert T is not None, "a look is at one length"
        run = self.request.workload(config, T)
        if self.chunk is None:
            return T, run, self.request.phase
        new = min(self.chunk, T)  # the last whole piece, which has most behind it, stands for the peak of all
        return T, replace(run, T=new, P=T - new), "prefill"
