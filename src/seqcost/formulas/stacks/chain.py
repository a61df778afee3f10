"""How components combine: one after the other, many times, and around a residual connection.

Three combinators make every stack: `Chain` (in series), `Repeat` (L equal ones in series), `Residual` (x + f(x)).
Costs add; tensors at a seam are counted once, whichever side keeps them.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size, minimum
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload


@dataclass(frozen=True)
class Repeat:
    """`times` equal components in series, their lines summed under one name."""

    component: Component
    times: Size


@dataclass(frozen=True)
class Chain(Component):
    """Named components in series: the output of one is the input of the next.

    A component named "" is what the chain is about: its lines take no prefix.
    """

    SOURCE: ClassVar[str] = "sum over its parts"

    links: tuple[tuple[str, Component | Repeat], ...]

    @classmethod
    def of(cls, **links: Component | Repeat) -> "Chain":
        """`Chain.of(norm=Norm(D=64), mixer=Attention(D=64, H=4))`."""
        return cls(tuple(links.items()))

    @property
    def parts(self) -> tuple[tuple[str, Component, Size], ...]:
        """(name, component, times) of each link."""
        return tuple(
            (name, link.component, link.times) if isinstance(link, Repeat) else (name, link, 1)
            for name, link in self.links
        )

    @property
    def width_in(self) -> Size:
        return self.parts[0][1].width_in

    @property
    def width_out(self) -> Size:
        return self.parts[-1][1].width_out

    @property
    def multiplies_masked(self) -> bool:
        return any(part.multiplies_masked for _, part, _ in self.parts)

    @property
    def decodes(self) -> bool:
        return all(part.decodes for _, part, _ in self.parts)

    @property
    def takes_source(self) -> bool:
        return any(part.takes_source for _, part, _ in self.parts)

    @property
    def gives_logits(self) -> bool:
        return self.parts[-1][1].gives_logits

    @property
    def pools(self) -> bool:
        return self.parts[-1][1].pools

    def source_tokens(self, T: Size) -> Size:
        return self._reader.source_tokens(T)

    def source_elements(self, run: Workload) -> Size:
        return self._reader.source_elements(run)

    @property
    def _reader(self) -> Component:
        """The first part that reads the source."""
        return next(part for _, part, _ in self.parts if part.takes_source)

    def tokens_out(self, T: Size) -> Size:
        for _, part, _ in self.parts:
            T = part.tokens_out(T)
        return T

    def _asked(self, run: Workload) -> Iterator[tuple[str, Component, Size, Workload]]:
        """Each part with its own run: some make the sequence longer."""
        for name, part, times in self.parts:
            yield name, part, times, run
            run = replace(run, T=part.tokens_out(run.T))

    def _sum(self, question: Callable[[Component, Workload], Bill], run: Workload) -> Bill:
        asked = self._asked(run)
        return Bill(line for name, part, times, its in asked for line in _under(name, question(part, its) * times))

    def params(self) -> Bill:
        return Bill(line for name, part, times in self.parts for line in _under(name, part.params() * times))

    def input(self, t: Tape) -> Value:
        return self.parts[0][1].input(t)

    def source_input(self, t: Tape) -> Value:
        return self._reader.source_input(t)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        for name, part, times in self.parts:
            x = t.part_of(name, part, times, x, source)
        return x

    def begin(self, t: Tape, source: Value) -> None:
        for name, part, times in self.parts:
            with t.at(name):
                for _ in [0] if isinstance(times, int) and times == 1 else t.layers(times):
                    part.begin(t, source)

    def loss(self, t: Tape, y: Value) -> Value:
        return self.parts[-1][1].loss(t, y)

    def state_bytes(self, run: Workload) -> Bill:
        return self._sum(lambda part, its: part.state_bytes(its), run)

    def path_length(self, run: Workload) -> Bill:
        """The shortest path among the mixing parts: one layer that reaches is enough."""
        paths = [path for _, part, _, its in self._asked(run) if (path := part.path_length(its))]
        if not paths:
            return Bill()
        shortest: Size = paths[0].total()
        for path in paths[1:]:
            shortest = minimum(shortest, path.total())
        return Bill.of(Kind.PATH, mixing=(shortest, paths[0].lines[0].note))


def _under(name: str, bill: Bill) -> Bill:
    return bill.under(name) if name else bill


@dataclass(frozen=True)
class Residual(Component):
    """x + f(x)."""

    SOURCE: ClassVar[str] = "He et al. 2015, arXiv 1512.03385, eq. 1"
    EQUATIONS: ClassVar[tuple[str, ...]] = (r"y = x + f(x)",)

    inner: Component

    @property
    def multiplies_masked(self) -> bool:
        return self.inner.multiplies_masked

    @property
    def width_in(self) -> Size:
        return self.inner.width_in

    @property
    def width_out(self) -> Size:
        return self.inner.width_out

    @property
    def decodes(self) -> bool:
        return self.inner.decodes

    @property
    def takes_source(self) -> bool:
        return self.inner.takes_source

    def source_tokens(self, T: Size) -> Size:
        return self.inner.source_tokens(T)

    def source_elements(self, run: Workload) -> Size:
        return self.inner.source_elements(run)

    def params(self) -> Bill:
        return self.inner.params()

    def input(self, t: Tape) -> Value:
        return self.inner.input(t)

    def source_input(self, t: Tape) -> Value:
        return self.inner.source_input(t)

    def begin(self, t: Tape, source: Value) -> None:
        self.inner.begin(t, source)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        return t.add("residual", x, t.part_of("", self.inner, 1, x, source), "x + f(x)")

    def state_bytes(self, run: Workload) -> Bill:
        return self.inner.state_bytes(run)

    def path_length(self, run: Workload) -> Bill:
        return self.inner.path_length(run)


class Assembled(Component):
    """A component that is its chain: it names sizes, and every question goes to the chain it builds from them."""

    @property
    @abstractmethod
    def chain(self) -> Chain:
        """The parts in series."""

    @property
    def width_in(self) -> Size:
        return self.chain.width_in

    @property
    def width_out(self) -> Size:
        return self.chain.width_out

    @property
    def multiplies_masked(self) -> bool:
        return self.chain.multiplies_masked

    @property
    def decodes(self) -> bool:
        return self.chain.decodes

    @property
    def takes_source(self) -> bool:
        return self.chain.takes_source

    @property
    def gives_logits(self) -> bool:
        return self.chain.gives_logits

    @property
    def pools(self) -> bool:
        return self.chain.pools

    def tokens_out(self, T: Size) -> Size:
        return self.chain.tokens_out(T)

    def source_tokens(self, T: Size) -> Size:
        return self.chain.source_tokens(T)

    def source_elements(self, run: Workload) -> Size:
        return self.chain.source_elements(run)

    def params(self) -> Bill:
        return self.chain.params()

    def input(self, t: Tape) -> Value:
        return self.chain.input(t)

    def source_input(self, t: Tape) -> Value:
        return self.chain.source_input(t)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        return self.chain.program(t, x, source)

    def begin(self, t: Tape, source: Value) -> None:
        self.chain.begin(t, source)

    def loss(self, t: Tape, y: Value) -> Value:
        return self.chain.loss(t, y)

    def state_bytes(self, run: Workload) -> Bill:
        return self.chain.state_bytes(run)

    def path_length(self, run: Workload) -> Bill:
        return self.chain.path_length(run)
