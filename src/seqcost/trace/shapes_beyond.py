"""Shapes of the launches of a run at a length that nobody saw, from those of runs at other lengths.

Launches of one operator by one module that are alike in shapes are a group. Where every run has as many groups, each is
followed through the runs in the order in which they came: its amounts and sizes are formulas in the length, the sizes
mostly constants (the steps of a loop over time). Where they are not, or do not add up, no shapes are known.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from seqcost.trace.book.book import Entry, Shapes, Shown

At = Callable[[Mapping[int, Any]], int]  # values by length → the value at the length that nobody saw


class NoFormulaError(Exception):
    """No formula passes through the values that were seen."""


def shapes_at(at: At, seen: Mapping[int, Entry], totals: Sequence[int]) -> dict[Shapes, list[Any]]:
    """The groups of an entry's launches with their amounts, which add up to its `totals`; empty where not known."""
    groups = {n: list(entry.by_shapes.items()) for n, entry in seen.items()}
    number = len(groups[max(groups)])
    alike = {n: found for n, found in groups.items() if len(found) == number}  # else two happen to have equal shapes
    found: dict[Shapes, list[Any]] = {}
    try:
        for i in range(number):
            shapes = _shapes(at, {n: group[i][0] for n, group in alike.items()})
            amounts = [at({n: group[i][1][column] for n, group in alike.items()}) for column in range(len(totals))]
            before = found.get(shapes, [0] * len(totals))
            found[shapes] = [a + b for a, b in zip(before, amounts, strict=True)]
    except NoFormulaError:
        return {}
    sums = [sum(column) for column in zip(*found.values(), strict=True)]
    return found if sums == list(totals) else {}


def _shapes(at: At, seen: Mapping[int, Shapes]) -> Shapes:
    operands, results, sizes = ({n: shapes[part] for n, shapes in seen.items()} for part in range(3))
    as_many = len({len(tensors) for tensors in operands.values()}) == 1
    return (
        _tensors(at, operands) if as_many else (),  # one of each step, which are stacked: not said
        _tensors(at, results),
        _sizes(at, sizes),
    )


def _tensors(at: At, seen: Mapping[int, Shown]) -> Shown:
    (number,) = _one_of(len(tensors) for tensors in seen.values())
    out = []
    for i in range(number):
        (dtype,) = _one_of(tensors[i][1] for tensors in seen.values())
        out.append((torch.Size(_sizes(at, {n: tensors[i][0] for n, tensors in seen.items()})), dtype))
    return tuple(out)


def _sizes(at: At, seen: Mapping[int, Sequence[Any]]) -> tuple[int, ...]:
    (number,) = _one_of(len(sizes) for sizes in seen.values())
    return tuple(at({n: sizes[i] for n, sizes in seen.items()}) for i in range(number))


def _one_of(values: Any) -> set[Any]:
    """The one value that all runs have."""
    found = set(values)
    if len(found) != 1:
        raise NoFormulaError
    return found
