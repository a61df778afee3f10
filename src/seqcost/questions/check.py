"""Does it do what a sequence model must? Any split = whole = single steps; no future, no neighbours, no padding seen.

The module is run, in float32 and eval() mode, on a short random input, with its weights as they are and larger. What is
found is a table: each invariant, whether it holds, the error and the first wrong position.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from seqcost.extras import need

need("torch", "a check runs the module, which needs")

import torch
from torch import Tensor, nn

from seqcost.errors import FOREIGN_ERRORS, BadSize, BadTarget, shortened, with_type
from seqcost.programs.inputs import Inputs
from seqcost.questions.asked.arguments import one_of, sizes_in
from seqcost.questions.asked.lengths import whole
from seqcost.questions.invariants.bench import Bench, Row, all_hold
from seqcost.questions.invariants.choice import carrier_of
from seqcost.questions.invariants.ids import words_only
from seqcost.questions.invariants.sight import Sees
from seqcost.questions.invariants.suite import all_rows
from seqcost.questions.targets.resolve import resolve
from seqcost.trace.rungs import untouched_random_state

LENGTH, BATCH, TOLERANCE = 48, 3, 1e-4


@dataclass(frozen=True)
class Checked:
    """The answer: one row per invariant."""

    target: str
    custom: str  # how it is carried on
    length: int
    batch: int
    tolerance: float
    larger_weights: bool  # whether it was tried with larger ones, too; rounding forbids it where small causes grow
    rows: tuple[Row, ...]

    @property
    def sound(self) -> bool:
        """Whether nothing fails or raises."""
        return all_hold(self.rows)

    @property
    def title(self) -> str:
        """What was tried, and how it is carried on."""
        weights = "as they are and larger" if self.larger_weights else "as they are"
        return f"{self.target}, {self.custom}; B = {self.batch}, T = {self.length}, weights {weights}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "target": self.target,
            "custom": self.custom,
            "length": self.length,
            "batch": self.batch,
            "tolerance": self.tolerance,
            "larger_weights": self.larger_weights,
            "sound": self.sound,
            "rows": [vars(row) for row in self.rows],
        }

    def to_csv(self) -> str:
        """One row per invariant."""
        from seqcost.report.table import rows_to_csv

        return rows_to_csv(self.to_dict()["rows"])

    def _repr_html_(self) -> str:
        from seqcost.report.checks import check_table
        from seqcost.report.notebook import in_notebook

        return in_notebook([check_table(self.rows, self.title)])


def check(
    target: Any,
    *,
    sizes: Mapping[str, Any] | None = None,
    inputs: Any = None,
    length: int | str = LENGTH,
    batch: int | str = BATCH,
    tolerance: float = TOLERANCE,
    sees: Sees = "auto",
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
    sees
        What an output may depend on: "past", "both" (an encoder), or "auto": both where the module says so, or where it
        carries nothing and sees as far ahead as back.

    Raises
    ------
    BadTarget
        If the module cannot be built or called at all.
    BadSize
        For a length below 12 or a batch below 1.

    Examples
    --------
    >>> check("gru-layer", sizes={"D": 8}).sound
    True

    """
    sizes = sizes_in(sizes)
    length, batch = whole(length, "length"), whole(batch, "batch")
    if length < 12:
        raise BadSize(f"length {length} was given; at least 12 tokens are allowed.")
    if not isinstance(target, str | nn.Module):
        raise BadTarget(f"a {type(target).__name__} was given; a name, package.module:callable or a module is allowed.")
    # Run, and with other weights: a live module stays as it is.
    wanted = resolve(target if isinstance(target, str) else copy.deepcopy(target), sizes, inputs).recipe()
    one_of(sees, "word for what it sees", get_args(Sees))
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not tolerance > 0:
        raise BadSize(f"tolerance = {shortened(tolerance)} was given; a number above 0 is allowed.")
    with untouched_random_state():
        torch.manual_seed(0)
        built = wanted.build(B=batch, T=length)
        given: Inputs = built.inputs_at(batch, length)
        tensors = [*given.args, *given.kwargs.values()]
        if not all(isinstance(tensor, Tensor) for tensor in tensors):
            raise BadTarget(f"{wanted.name} takes {shortened(tensors)}; a check carries a tensor on: give one.")
        if len(tensors) != 1:
            raise BadTarget(
                f"{wanted.name} takes {len(tensors)} inputs; a check carries one sequence on: give a module of one "
                "input."
            )
        module, x = _in_float32(built.module.eval(), tensors[0].detach())
        time_first = getattr(module, "batch_first", True) is False
        if built.given is None:
            x = words_only(x, module, 7)
            time_first = length != batch and x.shape[:2] == (length, batch)  # a part may take them so
        return _checked(wanted.name, module, x, tolerance, sees, time_axis=0 if time_first else 1)


def _in_float32(module: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
    """The module and its input, where they are in halves: eight bits of a number show nothing but rounding."""
    halves = (torch.float16, torch.bfloat16)
    if not any(tensor.dtype in halves for tensor in (x, *module.parameters(), *module.buffers())):
        return module, x
    return module.float(), x.float() if x.is_floating_point() else x


def _checked(name: str, module: nn.Module, x: Tensor, tolerance: float, sees: Sees, *, time_axis: int) -> Checked:
    try:
        with torch.no_grad():
            carrier = carrier_of(module, x.clone(), time_axis)
            y = carrier.whole(x.clone())
    except FOREIGN_ERRORS as error:
        raise BadTarget(f"{name} raised {with_type(error)}; mend the module, or give inputs=… that it takes.") from None
    if y.dim() < 3 or y.shape[:2] != x.shape[:2]:
        raise BadTarget(
            f"{name} gave an output of shape {tuple(y.shape)} for an input of shape {tuple(x.shape)}; one vector per "
            "token is what can be checked."
        )
    bench = Bench(carrier, x, y, tolerance)
    rows, larger = all_rows(bench, sees)
    return Checked(name, carrier.custom, bench.T, bench.B, tolerance, larger, rows)
