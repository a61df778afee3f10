"""A tape of operators: the program of a layer, written once, from which all its costs are read.

A program writes down what its layer executes, tensor by tensor, as one would write the layer itself. The tape then
knows the rows of work forward; those of the backward pass, because each kind of operator has a derivative that is a
program on the tape too; what autograd keeps; the longest chain of dependent operators; and the memory of every moment.

    class LinearAttention(Component):
        def program(self, t, x, source=None):
            q = t.unary("feature_query", t.linear("query", x, self.H * self.K), "elu")
            ...

A loop over n chunks is written as `for _ in t.loop(n)`, n equal layers as `for _ in t.layers(n)`. The first and the
last turns are passed one by one, and one in the middle stands for all the others.

Variables matter: a tensor is in memory as long as the program holds it, as in the layer itself.
"""

from dataclasses import replace
from typing import Any

from seqcost.algebra import Size
from seqcost.formulas.core.products import Products
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload


class Tape(Products):
    """What a program writes on.

    Its methods lie by what they do in `leaves`, `moves`, `rows`, `elementwise` and `products`; what they launch the
    `recorder` turns into rows of work, memory and the graph of gradients.
    """

    def __init__(self, run: Workload, **how: Any) -> None:
        super().__init__(run, **how)
        self._handed_on: list[Value] = []
        self.begun: list[Value] = []  # what a state begins with, made of a source, in the order in which it is read

    def part_of(self, name: str, part: Any, times: Size, x: Value, source: Value | None = None) -> Value:
        """The program of a component, below a name, `times` times in series."""
        with self.at(name):
            y = x
            if isinstance(times, int) and times == 1:
                y = part.program(self, y, source)
            else:
                for _ in self.layers(times, reading=source):
                    y = part.program(self, y, source)
        tokens = part.tokens_out(self.run.T)
        if tokens is not self.run.T:
            self.run = replace(self.run, T=tokens)
        return y

    def carry(self, *values: Value) -> None:
        """The state that is handed on: held until the run is over, where a state is asked for."""
        if self.run.started:
            self._handed_on += values
