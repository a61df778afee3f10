"""A program on the tape beside the same program in PyTorch: both cost the same, forward and in training."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from operator_calls import Apply

from seqcost.algebra import Bill, Kind
from seqcost.formulas.core.component import Component
from seqcost.formulas.core.workload import Workload
from seqcost.programs import Target
from seqcost.questions.answers.phases import by_formula
from seqcost.trace import trace

B, T, D = 2, 6, 4


@dataclass(frozen=True, kw_only=True)
class Written(Component):
    """A program on the tape, as a component without parameters."""

    SOURCE = "a test"
    D: int = D
    body: Callable[..., Any] = field(repr=False)

    def params(self) -> Bill:
        return Bill()

    def program(self, t, x, source=None):
        return self.body(t, x)


def costs(
    written: Callable[..., Any], run: Callable[..., Any], phase: str, dtype: torch.dtype = torch.float32
) -> tuple[dict, dict]:
    """What the tape says of `written(t, x)` and what is seen of `run(x)`, for x [B,T,D]."""
    x = torch.randn(B, T, D, dtype=dtype, requires_grad=True)
    workload = Workload(B=B, T=T, itemsize=dtype.itemsize, threads=torch.get_num_threads())
    formula = by_formula(Written(body=written), workload, phase, remembering=True)
    seen = trace(Target.of_module(Apply(run), (x,)), phase=phase, lengths=())
    assert not seen.uncounted
    return (
        _told(formula.rows, formula.bills.flops, formula.bills.moved, formula.bills.saved, formula.peak_bytes)
        | {"depth": formula.bills.depth.total()},
        _told(seen.rows, seen.flops, seen.traffic, seen.saved, seen.peak_bytes) | {"depth": seen.depth},
    )


def _told(rows, flops, moved, saved, peak_bytes) -> dict:
    launches, fresh = Counter(), Counter()
    for row in rows:
        key = str(row.direction), row.operator, str(row.kernel), row.sizes, row.itemsize
        launches[key] += row.launches
        fresh[key] += row.fresh
    return {
        "launches": dict(+launches),
        "fresh": dict(+fresh),
        "contraction": flops.total(Kind.CONTRACTION),
        "pointwise": flops.total(Kind.POINTWISE),
        "bytes": moved.total(),
        "kept": saved.total(),
        "peak": peak_bytes,
    }


def check_the_same(written: Callable[..., Any], run: Callable[..., Any], dtype: torch.dtype = torch.float32) -> None:
    """In a forward pass and in a training step."""
    for phase in ("forward", "train"):
        ours, theirs = costs(written, run, phase, dtype)
        assert ours == theirs, phase
