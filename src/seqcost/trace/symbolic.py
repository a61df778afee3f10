"""The cost of a module as a formula in T, read off one run with a symbolic length: a second, independent derivation.

It stands beside the ladder and not at its top, for three measured reasons: one symbolic run of GPT-2 takes as long as
four to five runs on fake tensors, which is how many the ladder makes; a peak is the largest of many formulas, not one;
and nn.LSTM and every loop over time fix the length, which only shows in the guards. A run that raises, or whose guards
fix the length, has failed: it is refused here. Bytes are left out, since a symbolic run copies now and then where the
CPU does not.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily

from seqcost.algebra import Size, symbol
from seqcost.errors import FOREIGN_ERRORS, BadTarget, TraceFailed
from seqcost.fakes.faking import retype
from seqcost.fakes.formats import check_dtype
from seqcost.programs.program import prepare
from seqcost.programs.targets import Built, Target
from seqcost.trace.book.ledger import Ledger
from seqcost.trace.book.memory import Memory
from seqcost.trace.book.paths import Paths
from seqcost.trace.rungs import untouched_random_state

_HINT = 64  # the length that decides branches
_OTHER = 65  # tells which sizes of an input are the length


def symbolic_totals(target: Target, *, phase: str, B: int, dtype: str = "float32") -> Mapping[str, Size]:
    """`flops` and `pointwise` of the phases forward and train as expressions in T."""
    from torch.fx.experimental.symbolic_shapes import ShapeEnv  # SymPy is loaded for symbols alone

    if target.live or target.takes_sizes or phase not in ("forward", "train"):
        raise BadTarget(
            f"a symbolic length was asked of {target.name} in the phase {phase}; only modules that are built by name, "
            "in the phases forward and train, can be given one."
        )
    environment = ShapeEnv()
    mode = FakeTensorMode(shape_env=environment, allow_fallback_kernels=False)
    with untouched_random_state(), mode:
        built = target.build(B=B, T=_HINT)
        retype(built.module, check_dtype(dtype))
        inputs = built.inputs_at(B, _HINT).mapped(_lengthener(built, B, mode))
        try:
            ledger = _book(built, inputs, phase, target)
        except FOREIGN_ERRORS as error:  # the module's own code meets symbols here
            raise TraceFailed(f"{target.name} does not run with a symbolic length: {type(error).__name__}.") from None
    names = {"flops": "contraction", "pointwise": "pointwise"}
    return {
        name: _formula(sum(getattr(entry, column) for entry in ledger.book.entries.values()), environment, target.name)
        for name, column in names.items()
    }


def _book(built: Built, inputs: Any, phase: str, target: Target) -> Ledger:
    program = prepare(built.module, inputs, phase=phase, own_mode=target.own_mode)
    memory = Memory()
    for tensor in program.resident_tensors():
        memory.hold(tensor)
    ledger = Ledger(Paths(built.module), memory, program.inputs())
    with ledger.booking([*built.module.parameters(), *built.module.buffers()]):
        program.run()
    return ledger


def _lengthener(built: Built, B: int, mode: FakeTensorMode) -> Any:
    from torch.fx.experimental.symbolic_shapes import DimDynamic, StatelessSymbolicContext

    others = iter(built.inputs_at(B, _OTHER).args)

    def lengthen(tensor: Tensor) -> Tensor:
        varies = [a != b for a, b in zip(tensor.shape, next(others).shape, strict=True)]
        with unset_fake_temporarily():
            plain = torch.zeros(tensor.shape, dtype=tensor.dtype)
            sizes = [DimDynamic.DYNAMIC if v else DimDynamic.STATIC for v in varies]
            fake = mode.from_tensor(plain, symbolic_context=StatelessSymbolicContext(sizes))
        return fake.requires_grad_(tensor.requires_grad)

    return lengthen


def _formula(total: Any, environment: Any, name: str) -> Size:
    if environment.replacements:
        raise TraceFailed(f"{name} fixes the length: {environment.replacements} is guarded.")
    expression = total.node.expr if isinstance(total, torch.SymInt) else total
    if isinstance(expression, int):
        return expression
    return expression.subs({free: symbol("T") for free in expression.free_symbols}).expand()
