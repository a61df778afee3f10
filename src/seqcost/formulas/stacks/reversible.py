"""Reversible residual layers: a stack whose activations are rebuilt in the backward pass from its result.

Two streams pass through it; each sublayer reads one and adds to the other, so each can be taken off again:

    y1 = x1 + mixer(x2)          x2 = y2 − feed_forward(y1)
    y2 = x2 + feed_forward(y1)   x1 = y1 − mixer(x2)

What is kept for backward is the result alone, however many layers there are; in return the backward pass executes
every sublayer's forward pass once more, and the subtractions. Both streams start as the input; the result is the two of
them beside each other, of width 2·D, as in Reformer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from seqcost.algebra import Bill, Kind, Size, minimum
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, differ, exact_div
from seqcost.formulas.core.engine import Engine
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
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

    def _sum(self, question: Callable[[Component], Bill]) -> Bill:
        return Bill(line for name, part in self._parts for line in (question(part) * self.times).under(name))

    def params(self) -> Bill:
        return self._sum(lambda part: part.params())

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        if t.run.started:
            return self._carried(t, x)
        if not t.training:
            return self._passed(t, x, [])
        turns: list[list[list[Value]]] = []
        y = self._passed(t, x, turns)
        weights = [weight for turn in turns for part in turn for weight in part if weight.needs_gradient]

        def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
            return self._rebuilt(t, kept[0], g, turns)

        t.follow("reversible", [x, *weights], [y], backward, [(y, None)])
        return y

    def _carried(self, t: Tape, x: Value) -> Value:
        """With a state; nothing is rebuilt."""
        other = read = x
        for _ in t.layers(self.times):
            for name, part in self._parts:
                y = t.part_of(name, part, 1, read)
                with t.at(name):
                    other, read = read, t.add("residual", other, y, "onto the other stream")
        return self._beside(t, other, read)

    def _passed(self, t: Tape, x: Value, turns: list[list[list[Value]]]) -> Value:
        """Forward, and followed by nobody; which weights each sublayer of each turn has is noted in `turns`."""
        other = read = x
        for _ in t.layers(self.times):
            weights: list[list[Value]] = [[] for _ in self._parts]
            for (name, part), own in zip(self._parts, weights, strict=True):
                with t.unfollowed_by_gradients(own), t.at(name):
                    added = [t.part_of("", part, 1, read)]
                    other, read = read, t.add("residual", other, added.pop(), "onto the other stream")
            turns.append(weights)
        with t.unfollowed_by_gradients([]):
            return self._beside(t, other, read)

    @staticmethod
    def _beside(t: Tape, other: Value, read: Value) -> Value:
        *front, D = read.shape
        return t.cat("concatenate", [other, read], *front, 2 * D, note="both streams beside each other")

    def _rebuilt(self, t: Tape, y: Value, g: Value, turns: Sequence[Sequence[list[Value]]]) -> list[Value | None]:
        """Gradients of the input and of all weights: each sublayer forward again, then backward, from the last on."""
        read, added = self._halves(t, "result_halves", y)
        d_read, d_added = self._halves(t, "gradient_halves", g)
        gradients: list[Value | None] = []
        left = len(turns)
        for _ in t.layers(self.times):
            left -= 1
            for i, (name, part) in reversed(list(enumerate(self._parts))):
                again, (d_input, *d_weights) = self._pulled_back(t, name, part, read, d_added, turns[left][i])
                with t.at(name):
                    d_read, d_added = (
                        d_added,
                        t.pointwise("sum", [d_read, _there(d_input)], 1, "both ways in", operator="add"),
                    )
                    if left or i:
                        read, added = t.pointwise("rebuild", [added, again], 1, "y − f(x)", operator="sub"), read
                gradients = [*d_weights, *gradients]
        return [t.pointwise("sum", [d_read, d_added], 1, "both ways into x", operator="add"), *gradients]

    @staticmethod
    def _halves(t: Tape, name: str, y: Value) -> tuple[Value, Value]:
        *front, D = y.shape
        shape = (*front, exact_div(D, 2, "two streams"))
        first, second = (t.copy(name, half, note="in one piece") for half in t.parts(t.detach(y), shape, shape))
        return first, second

    @staticmethod
    def _pulled_back(
        t: Tape, name: str, part: Component, x: Value, g: Value, weights: Sequence[Value]
    ) -> tuple[Value, list[Value | None]]:
        """The result again, and the gradients of the input and of the weights."""
        x = replace(t.detach(x), node=t.leaf("input"))
        with t.once_more(weights):
            y = t.part_of(name, part, 1, x)
        engine = Engine(t, settles=False)
        engine.run(y, g)
        return t.detach(y), [engine.gradient_of(leaf) for leaf in (x, *(w for w in weights if w.needs_gradient))]

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


def _there(value: Value | None) -> Value:
    assert value is not None
    return value
