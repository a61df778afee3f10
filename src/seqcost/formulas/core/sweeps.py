"""A question asked over sweeps of sizes.

Lengths are asked for as a formula once, into which the sweeps are put; the answer is held against the numbers at two
points. Where widths are swept, which may depend on each other (K = D/H), and where the formula says something else,
every point is asked by itself.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from seqcost.algebra.bill import Bill
from seqcost.algebra.evaluation import evaluated
from seqcost.algebra.expr import Size, is_array, symbol
from seqcost.algebra.line import Kind, Line
from seqcost.formulas.core.workload import Workload

Ask = Callable[[Any, Workload], Bill]


def over_sweeps(ask: Ask, component: Any, run: Workload) -> Bill:
    """The Bill of a component and a run some of whose sizes are sweeps."""
    swept = {name: size for name, size in _fields(run).items() if is_array(size)}
    widths = list(_arrays(component))
    if not swept and not widths:
        return ask(component, run)
    if not widths:
        formula = ask(component, dataclasses.replace(run, **{name: symbol(name) for name in swept}))
        nothing = sum(swept.values()) * 0  # so that all amounts are sweeps
        out = formula.map(lambda amount: evaluated(amount, swept) + nothing)
        if all(_agree(out, ask(component, _at(run, point, nothing.shape)), point) for point in (0, -1)):
            return out
    return _point_by_point(ask, component, run, [*swept.values(), *widths])


def _point_by_point(ask: Ask, component: Any, run: Workload, swept: list[Any]) -> Bill:
    import numpy as np

    shape = np.broadcast_shapes(*(size.shape for size in swept))
    bills = [ask(_at(component, i, shape), _at(run, i, shape)) for i in range(int(np.prod(shape)))]
    amounts = [{(line.name, line.kind): line.amount for line in bill} for bill in bills]
    lines = {(line.name, line.kind): line for bill in bills for line in bill}
    out: list[Line] = []
    for key, line in lines.items():
        found = np.empty(len(bills), dtype=object)
        found[:] = [amount.get(key, 0) for amount in amounts]
        exact = all(size.dtype == object for size in swept)
        out.append(dataclasses.replace(line, amount=found.reshape(shape).astype(object if exact else float)))
    return Bill(out)


def _arrays(holder: Any) -> Iterator[Any]:
    """The sweeps among the sizes of a component and of the components in it."""
    if is_array(holder):
        yield holder
    elif isinstance(holder, tuple):
        for item in holder:
            yield from _arrays(item)
    elif dataclasses.is_dataclass(holder):
        for value in _fields(holder).values():
            yield from _arrays(value)


def _fields(holder: Any) -> dict[str, Any]:
    return {field.name: getattr(holder, field.name) for field in dataclasses.fields(holder)}


def _at(holder: Any, point: int, shape: tuple[int, ...]) -> Any:
    """The same with the number of a point in place of each sweep."""
    if is_array(holder):
        import numpy as np

        return int(np.broadcast_to(holder, shape).flat[point])
    if isinstance(holder, tuple):
        return tuple(_at(item, point, shape) for item in holder)
    if dataclasses.is_dataclass(holder) and next(_arrays(holder), None) is not None:
        return dataclasses.replace(
            holder, **{name: _at(value, point, shape) for name, value in _fields(holder).items()}
        )  # type: ignore[type-var]
    return holder


def _agree(out: Bill, numbers: Bill, point: int) -> bool:
    """Whether the lines have the amounts of the numbers at a point; exact, or as floats are.

    Of depth the total: where chains are as long as each other a formula names the one of many turns.
    """
    if any(line.kind == Kind.DEPTH for line in out):
        return _same(out.total(), numbers.total(), point)
    expected: dict[tuple[str, Kind], Size] = {(line.name, line.kind): line.amount for line in numbers}
    agree = all(_same(line.amount, expected.pop((line.name, line.kind), 0), point) for line in out)
    return agree and not any(expected.values())


def _same(found: Size, wanted: Size, point: int) -> bool:
    return bool(abs(found.flat[point] - wanted) <= 1e-12 * abs(wanted) * (found.dtype != object))
