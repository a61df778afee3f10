"""Does it do what a sequence model must? Any split = whole = single steps; no future, no neighbours, no padding seen.

The module is run, in float32 and eval() mode, on a short random input. What is found is a table: each invariant,
whether it holds, the error and the first wrong position.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from seqcost.errors import FOREIGN_ERRORS, BadSize, BadTarget
from seqcost.questions.carriers import carrier_of
from seqcost.questions.invariants import Bench, Row, all_rows
from seqcost.questions.targets import spec_of
from seqcost.trace import Target
from seqcost.trace.inputs import Inputs

LENGTH, BATCH, TOLERANCE = 48, 2, 1e-4


@dataclass(frozen=True)
class Checked:
    """The answer: a row an invariant."""

    target: str
    custom: str  # how it is carried on
    length: int
    batch: int
    tolerance: float
    rows: tuple[Row, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing fails or raises."""
        return all(row.verdict in ("holds", "not asked") for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "target": self.target,
            "custom": self.custom,
            "length": self.length,
            "batch": self.batch,
            "tolerance": self.tolerance,
            "sound": self.sound,
            "rows": [vars(row) for row in self.rows],
        }

    def _repr_html_(self) -> str:
        from seqcost.report.checks import check_table
        from seqcost.report.notebook import in_notebook

        title = f"{self.target}, {self.custom}; B = {self.batch}, T = {self.length}"
        return in_notebook([check_table(self.rows, title)])


def check(
    target: Any,
    *,
    sizes: Mapping[str, Any] | None = None,
    inputs: Any = None,
    length: int = LENGTH,
    batch: int = BATCH,
    tolerance: float = TOLERANCE,
) -> Checked:
    """Hold the invariants of a sequence model against a module.

    Parameters
    ----------
    target
        A live module, `package.module:callable`, or a name of the catalogue (with `sizes`).
    inputs
        Its input [B,T] or [B,T,D], where it cannot be inferred.
    length, batch
        Tokens and sequences of the trial.
    tolerance
        Largest relative error that passes.

    Raises
    ------
    BadTarget
        If the module cannot be built or called at all.
    BadSize
        For a length below 12 or a batch below 1.

    """
    if length < 12 or batch < 1:
        raise BadSize(f"length {length} and batch {batch} were given; at least 12 tokens and 1 sequence are allowed.")
    if isinstance(target, nn.Module):
        wanted = Target.of_module(copy.deepcopy(target), inputs)
    elif isinstance(target, str):
        wanted = Target.of_spec(spec_of(target, sizes or {}))
    else:
        raise BadTarget(f"a {type(target).__name__} was given; a name, package.module:callable or a module is allowed.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = wanted.build(B=batch, T=length)
        given: Inputs = built.inputs_at(batch, length)
    module = built.module.eval()
    tensors = [*given.args, *given.kwargs.values()]
    if len(tensors) != 1:
        raise BadTarget(
            f"{wanted.name} takes {len(tensors)} inputs; a check carries one sequence on: give a module of one input."
        )
    x = tensors[0].detach()
    carrier = carrier_of(module)
    try:
        with torch.no_grad():
            y = carrier.whole(x)
    except FOREIGN_ERRORS as error:
        text = " ".join(str(error).split())
        raise BadTarget(f"{wanted.name} raised {type(error).__name__}: {text}") from None
    if y.dim() < 3 or y.shape[:2] != x.shape[:2]:
        raise BadTarget(
            f"{wanted.name} gave an output of shape {tuple(y.shape)} for an input of shape {tuple(x.shape)}; one "
            "vector a token is what can be checked."
        )
    bench = Bench(carrier, x, y, tolerance)
    return Checked(wanted.name, carrier.custom, bench.T, bench.B, tolerance, tuple(all_rows(bench)))
