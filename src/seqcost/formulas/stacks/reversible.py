"""Reversible residual layers: a stack whose activations are rebuilt in the backward pass from its result.

Two streams pass through it; each sublayer reads one and adds to the other, so each can be taken off again:

    y1 = x1 + mixer(x2)          x2 = y2 − feed_forward(y1)
    y2 = x2 + feed_forward(y1)   x1 = y1 − mixer(x2)

What is kept for backward is the result alone, however many layers there are; in return the backward pass executes
every sublayer's forward pass once more, and the subtractions. Both streams start as the input; the result is the two of
them beside each other, of width 2·D, as in Reformer.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size, minimum
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, differ
from seqcost.formulas.core.operator import Operator, copy, under
from seqcost.formulas.core.workload import Workload


@dataclass(frozen=True, kw_only=True)
class ReversibleBlock:
    """One layer: two sublayers of equal width, each with its own norm."""

    mixer: Component
    feed_forward: Component


@dataclass(frozen=True, kw_only=True)
class Reversible(Component):
    """`blocks` in series, all of them `times` over: [B,T,D] → [B,T,2·D], the two streams beside each other."""

    SOURCE: ClassVar[str] = (
        "Gomez et al. 2017, arXiv 1707.04585, section 3 (RevNet); "
        "Kitaev, Kaiser & Levskaya 2020, arXiv 2001.04451, section 3"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"y_1 = x_1 + \mathrm{Mixer}(\mathrm{Norm}(x_2)),\quad y_2 = x_2 + \mathrm{FFN}(\mathrm{Norm}(y_1))",
        r"x_2 = y_2 - \mathrm{FFN}(\mathrm{Norm}(y_1)),\quad x_1 = y_1 - \mathrm{Mixer}(\mathrm{Norm}(x_2))",
    )

    blocks: tuple[ReversibleBlock, ...]
    times: Size = 1

    def __post_init__(self) -> None:
        for _, part in self._parts:
            if part.takes_source:
                raise BadSize(
                    f"a reversible layer over {type(part).__name__} was asked for, which reads a source; "
                    "only layers that read their own sequence are allowed."
                )
            for side in (part.width_in, part.width_out):
                if differ(side, self.width_in):
                    raise BadSize(
                        f"a {type(part).__name__} of width {side} was given for reversible layers of width "
                        f"{self.width_in}; both streams take equal widths only."
                    )

    @property
    def _parts(self) -> list[tuple[str, Component]]:
        """Names and sublayers of one turn."""
        several = len(self.blocks) > 1
        return [
            (f"{i}.{name}" if several else name, part)
            for i, block in enumerate(self.blocks)
            for name, part in (("mixer", block.mixer), ("feed_forward", block.feed_forward))
        ]

    @property
    def multiplies_masked(self) -> bool:
        return any(part.multiplies_masked for _, part in self._parts)

    @property
    def width_in(self) -> Size:
        return self.blocks[0].mixer.width_in

    @property
    def width_out(self) -> Size:
        return 2 * self.width_in

    @property
    def decodes(self) -> bool:
        return all(part.decodes for _, part in self._parts)

    @property
    def keeps_output(self) -> bool:
        return True

    def _sum(self, question: Callable[[Component], Bill]) -> Bill:
        return Bill(line for name, part in self._parts for line in (question(part) * self.times).under(name))

    def params(self) -> Bill:
        return self._sum(lambda part: part.params())

    def forward(self, run: Workload) -> Iterator[Operator]:
        n = run.B * run.T * self.width_in
        for name, part in self._parts:
            yield from (op.repeated(self.times) for op in under(name, part.forward(run)))
            add = Operator(name=f"{name}.residual", pointwise=n, reads=2 * n, writes=n, note="onto the other stream")
            yield add.repeated(self.times)
        yield copy("concatenate", 2 * n, "both streams beside each other")

    def backward(self, run: Workload) -> Iterator[Operator]:
        """Each sublayer forward again, then backward."""
        n = run.B * run.T * self.width_in
        sublayers = len(self._parts) * self.times
        for name, part in reversed(self._parts):
            yield from (op.repeated(self.times) for op in under(f"{name}.again", part.forward(run)))
            yield from (op.repeated(self.times) for op in under(name, part.backward(run)))
        yield Operator(name="rebuild", pointwise=n * (sublayers - 1), note="y − f(x), but for the first input")
        yield Operator(name="sum", pointwise=n * (sublayers + 1), note="both ways into each stream, and into x")

    def kept_bytes(self, run: Workload) -> Bill:
        return Bill()

    def state_bytes(self, run: Workload) -> Bill:
        return self._sum(lambda part: part.state_bytes(run))

    def path_length(self, run: Workload) -> Bill:
        """The shortest path among the mixers: one layer that reaches is enough."""
        paths = [path for _, part in self._parts if (path := part.path_length(run))]
        if not paths:
            return Bill()
        shortest: Size = paths[0].total()
        for path in paths[1:]:
            shortest = minimum(shortest, path.total())
        return Bill.of(Kind.PATH, mixing=(shortest, paths[0].lines[0].note))
