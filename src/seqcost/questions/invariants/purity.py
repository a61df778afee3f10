"""A call is a function: the same twice, and nothing changed but its result. Asked of all ways to call it."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seqcost.questions.invariants.bench import Bench, Row, Way, worst

_STATE = "the state is not changed by a step"


def repeatable(bench: Bench) -> Row:
    """The same call gives the same output."""

    def rows() -> Iterator[Row]:
        what = "the same call twice"
        yield bench.row(what, bench.whole(bench.x), bench.y, "the whole")
        for way in bench.ways():
            if not way.whole:
                state = bench.state_at(way.at)
                once, again = (bench.call(way, bench.x.clone(), bench.carrier.copy(state)) for _ in range(2))
                yield bench.row(what, again, once, way.name)

    return _without_remark(worst(rows()))


def state_kept(bench: Bench) -> Row:
    """What was carried can be carried on twice: a call, of many tokens or of one, does not change it."""
    if not bench.carrier.functional:
        return Row(_STATE, "not asked", remark="its cache is filled in place by design")

    def rows() -> Iterator[Row]:
        for way in bench.ways():
            if way.whole:
                continue
            state = bench.state_at(way.at)
            before = [tensor.clone() for tensor in bench.carrier.tensors(state)]
            first = bench.call(way, bench.x.clone(), state)
            after = list(bench.carrier.tensors(state))
            again = bench.row(_STATE, bench.call(way, bench.x.clone(), state), first, f"by {way.name}")
            same = len(before) == len(after) and all(map(_same, before, after))
            yield again if same or again.verdict == "fails" else Row(_STATE, "fails", remark=f"by {way.name}")

    return _without_remark(worst(rows()))


def input_kept(bench: Bench) -> Row:
    """The input is left as it was."""
    changed = []
    for way, state in _calls(bench):
        x = bench.x.clone()
        bench.call(way, x, state)
        if not torch.equal(x, bench.x):
            changed.append(way.name)
    return _verdict("the input is not changed", ", ".join(changed))


def randomness_kept(bench: Bench) -> Row:
    """The global random numbers are left where they were."""
    drawn: dict[str, str] = {}
    for way, state in _calls(bench):
        seeds = _seeds()
        bench.call(way, bench.x.clone(), state)
        drawn |= {name: way.name for name in _moved(seeds, _seeds()) if name not in drawn}
    return _verdict(
        "global random numbers are not touched", ", ".join(f"{name} by {way}" for name, way in drawn.items())
    )


def _calls(bench: Bench) -> Iterator[tuple[Way, Any]]:
    for way in bench.ways():
        yield way, None if way.whole else bench.state_at(way.at)


def _verdict(what: str, found: str) -> Row:
    return Row(what, "fails" if found else "holds", remark=found)


def _without_remark(row: Row) -> Row:
    return row if row.verdict == "fails" else Row(row.what, row.verdict, row.error)


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and bool(torch.equal(a.nan_to_num(), b.nan_to_num()))


def _seeds() -> tuple[Any, ...]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002 - the global one is meant


def _moved(before: tuple[Any, ...], after: tuple[Any, ...]) -> list[str]:
    numpy = np.array_equal(before[1][1], after[1][1]) and before[1][2:] == after[1][2:]
    same = {"torch": torch.equal(before[0], after[0]), "numpy": numpy, "python": before[2] == after[2]}
    return [name for name, kept in same.items() if not kept]
