"""A question asked over sweeps: as a formula in letters once, into which the sweeps are put.

Letters that are put in place of sweeps no longer know what one size has to do with another (K = D/H). So the answer is
held against the numbers at two points; where it is another one there, the sweeps themselves go through the formula.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from seqcost.algebra.bill import Bill
from seqcost.algebra.evaluation import evaluated
from seqcost.algebra.expr import Size, is_array, symbol
from seqcost.algebra.line import Kind
from seqcost.formulas.core.workload import Workload

Ask = Callable[[Any, Workload], Bill]


def over_sweeps(ask: Ask, component: Any, run: Workload) -> Bill:
    """The Bill of a component and a run some of whose sizes are sweeps."""
    of_run, own = _swept(run), _swept(component)
    if not of_run and not own:
        return ask(component, run)
    swept = of_run | own

    def at(change: Callable[[str, Size], Size]) -> Bill:
        return ask(_changed(component, own, change), _changed(run, of_run, change))

    nothing = sum(swept.values()) * 0  # so that all amounts are sweeps
    out = at(lambda name, _: symbol(name)).map(lambda amount: evaluated(amount, swept) + nothing)
    for point in (0, -1):
        numbers = at(lambda _, size, point=point: int(size.flat[point]))  # type: ignore[misc]
        if not _agree(out, numbers, point):
            return ask(component, run)
    return out


def _swept(holder: Any) -> dict[str, Size]:
    sizes = {field.name: getattr(holder, field.name) for field in dataclasses.fields(holder)}
    return {name: size for name, size in sizes.items() if is_array(size) and name != "itemsize"}


def _changed(holder: Any, swept: Mapping[str, Size], change: Callable[[str, Size], Size]) -> Any:
    if not swept:
        return holder
    return dataclasses.replace(holder, **{name: change(name, size) for name, size in swept.items()})


def _agree(out: Bill, numbers: Bill, point: int) -> bool:
    """Whether the lines have the amounts of the numbers at a point; exact, or as floats are."""
    expected: dict[tuple[str, Kind], Size] = {(line.name, line.kind): line.amount for line in numbers}
    for line in out:
        found, wanted = line.amount.flat[point], expected.pop((line.name, line.kind), 0)
        if abs(found - wanted) > 1e-12 * abs(wanted) * (line.amount.dtype != object):
            return False
    return not any(expected.values())
