"""A component that is its program: written once on a tape, from which its nine answers are read."""

from abc import abstractmethod
from collections.abc import Iterable
from functools import lru_cache

from seqcost.algebra import Bill, Kind, Line
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.reading import AMOUNTS, Reading, longest_chain, through
from seqcost.formulas.core.tape import FAR, TURNS, Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload


@lru_cache(maxsize=256)
def _recalled(program: "Program", run: Workload) -> Reading:
    return program._drawn_out(run)


class Program(Component):
    """A component that writes its program on a tape; its nine answers are readings of it."""

    @abstractmethod
    def program(self, t: Tape, x: Value, source: Value | None) -> Value:
        """What the layer executes on x [B,T,width_in] (and a source [B,S,width_in]), ending in its result."""

    def reading(self, run: Workload) -> Reading:
        """The rows for a run, its loops drawn out to their true number of turns."""
        try:
            return _recalled(self, run)  # the nine questions about one run read the same tape
        except TypeError:  # a sweep cannot be a key
            return self._drawn_out(run)

    def _drawn_out(self, run: Workload) -> Reading:
        read = self._read(run, None)
        n = read.trips
        if n is None or (isinstance(n, int) and n <= TURNS[-1]):
            return read
        several = [self._read(run, turns) for turns in TURNS]
        assert len({frozenset(r.keeps) for r in several[1:]}) == 1

        def rows(of: str) -> dict[str, Operator]:
            tables = [getattr(r, of) for r in several]
            names = {name: row for table in tables for name, row in table.items()}
            return {
                name: Operator(
                    name=name,
                    note=row.note,
                    **{
                        k: through([getattr(t[name], k) if name in t else 0 for t in tables], n)
                        for k in AMOUNTS
                        if k != "steps"
                    },
                )
                for name, row in names.items()
            }

        forward = longest_chain(rows("forward"), several, lambda: [self._read(run, turns) for turns in FAR], n)

        stored = {name: None for r in several for name in r.kept}
        kept = {name: through([r.kept.get(name, 0) for r in several], n) for name in stored}
        return Reading(forward, rows("backward"), kept, several[-1].keeps, n)

    def _read(self, run: Workload, turns: int | None) -> Reading:
        tape = Tape(run, turns)
        x = tape.given((run.B, run.T, self.width_in))
        source = tape.given((run.B, run.S, self.width_in), belongs="source") if self.takes_source else None
        return Reading.of(tape, self.program(tape, x, source))

    def forward(self, run: Workload) -> Iterable[Operator]:
        return self.reading(run).forward.values()

    def backward(self, run: Workload) -> Iterable[Operator]:
        return self.reading(run).backward.values()

    def kept_bytes(self, run: Workload) -> Bill:
        return Bill(Line(name, amount, Kind.SAVED) for name, amount in self.reading(run).kept.items())

    def _keeps(self, what: str) -> bool:
        return what in self.reading(Workload(B=2, T=3, S=2)).keeps

    @property
    def keeps_input(self) -> bool:
        return self._keeps("input")

    @property
    def keeps_output(self) -> bool:
        return self._keeps("output")

    @property
    def keeps_source(self) -> bool:
        return self._keeps("source")
