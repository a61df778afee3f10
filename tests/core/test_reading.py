"""What is read off a tape whose program has a loop: the chain of dependent operators beside it and through it."""

from collections import Counter
from dataclasses import dataclass

import pytest
import sympy

from seqcost.algebra import Bill, sweep, symbol
from seqcost.formulas.catalogue import configure
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.reading import Ending
from seqcost.formulas.core.traffic import fresh_bytes
from seqcost.formulas.core.values import Storage, Value, product
from seqcost.formulas.core.workload import Workload


@dataclass(frozen=True, kw_only=True)
class Race(Component):
    """A chain of `beside` operators against one operator per turn of a loop over T tokens."""

    SOURCE = "a test"
    D: int
    beside: int

    def params(self):
        return Bill()

    def program(self, t, x, source=None):
        B, T, D = x.shape
        y = x
        for _ in range(self.beside):
            y = t.unary("beside", y, "exp")
        state, pieces = t.state("start", B, D), t.every(x, 1)
        for i in t.loop(T):
            state = t.add("turn", state, pieces[i])
        return t.add("end", y, t.view(state, B, 1, D))


@pytest.mark.parametrize("beside", [1, 2, 3, 4, 7, 12])
@pytest.mark.parametrize("T", [1, 2, 3, 4, 5, 6, 8, 13, 40, 10**6])
def test_depth_is_that_of_the_longer_chain(beside, T):
    assert Race(D=3, beside=beside).depth(Workload(T=T)).total() == max(beside, T) + 1


def test_as_a_formula_and_over_a_sweep():
    race, T = Race(D=3, beside=7), symbol("T")
    formula = race.depth(Workload(T=T)).total()
    assert [formula.subs(T, n) for n in (1, 4, 7, 8, 100)] == [8, 8, 8, 9, 101]
    assert race.depth(Workload(T=sweep([1, 4, 7, 8, 100], exact=True))).total().tolist() == [8, 8, 8, 9, 101]
    assert race.depth(Workload(T=T)).leading("T") == T


def test_the_chain_is_named_row_by_row():
    lines = {line.name: line.amount for line in Race(D=3, beside=7).depth(Workload(T=40))}
    assert lines == {"turn": 40, "end": 1}
    lines = {line.name: line.amount for line in Race(D=3, beside=7).depth(Workload(T=6))}
    assert lines == {"beside": 7, "end": 1}


def test_what_a_chain_is_longer_by_for_many_turns_is_a_row_of_its_own_in_a_formula():
    lines = {line.name: line.amount for line in Race(D=3, beside=12).depth(Workload(T=symbol("T")))}
    assert set(lines) == {"beside", "end", "loop"}


def test_a_number_of_sympys_is_not_handed_out_for_one_of_pythons():
    """They are equal, and what was worked out for the one is remembered."""

    def elements_and_bytes(size):
        shape = (size, 11)
        return product(shape), fresh_bytes(lambda itemsize: 4, [Value(shape, Storage("x", product(shape)))])

    assert elements_and_bytes(sympy.Integer(7)) == (77, 308)
    assert [type(amount) for amount in elements_and_bytes(7)] == [int, int]


@pytest.mark.parametrize("ending", [Ending.NOTHING, Ending.LOSS])
@pytest.mark.parametrize(("B", "T"), [(2, 9), (3, 40)])
def test_rows_in_letters_are_those_in_numbers(B, T, ending):
    """What is launched, how often, and the memory it makes."""
    config = configure("gru-layer", D=5)
    letters = {symbol("B"): B, symbol("T"): T}

    def told(run):
        found = Counter()
        for row in config.reading(run, ending).rows:
            for name in ("launches", "bytes", "fresh"):
                amount = int(sympy.sympify(getattr(row, name)).subs(letters))
                found[row.direction, row.path, row.name, row.operator, name] += amount
        return +found

    assert told(Workload(B=symbol("B"), T=symbol("T"))) == told(Workload(B=B, T=T))
