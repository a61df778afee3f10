"""Which formula belongs to which operator, and how users add their own.

An operator is looked up by its packet (`aten::add` stands for `add.Tensor`, `add_` and `add.out` alike). One that
is in neither table but carries PyTorch's tag `pointwise`, in one of its forms, counts 1 an element; every other one is
uncounted.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch._library.custom_ops import CustomOpDef

from seqcost.errors import BadTarget
from seqcost.fakes.schemas import base_name, is_pointwise, out_of_place
from seqcost.programs.files.program_operators import TAUGHT
from seqcost.trace.operators.contractions import CONTRACTIONS, Formula
from seqcost.trace.operators.elementwise import POINTWISE, nothing, of_result
from seqcost.trace.operators.factorisations import FACTORISATIONS
from seqcost.trace.operators.packed import PACKED_PRODUCTS, UNPACKING
from seqcost.trace.operators.windows import WINDOWS


@dataclass(frozen=True)
class Costs:
    """Formulas of one operator; both None where nothing is known about it."""

    contraction: Formula | None
    pointwise: Formula | None

    @property
    def known(self) -> bool:
        """Whether the operator is counted."""
        return self.contraction is not None or self.pointwise is not None


_UNKNOWN = Costs(None, None)
_CONTRACTIONS = CONTRACTIONS | FACTORISATIONS | PACKED_PRODUCTS
_POINTWISE = POINTWISE | WINDOWS | UNPACKING
_registered: dict[str, Costs] = {}


@cache
def costs_of(operator: Any) -> Costs:
    """Formulas of an operator, the user's first."""
    name = base_name(operator)
    if name in _registered:
        return _registered[name]
    contraction, pointwise = _CONTRACTIONS.get(name), _POINTWISE.get(name)
    if contraction is None and pointwise is None:
        return Costs(None, of_result(1)) if is_pointwise(operator) else _UNKNOWN
    return Costs(contraction, pointwise)


def register_operator(
    name: Any, *, contraction: Callable[..., Any] | None = None, pointwise: Callable[..., Any] | None = None
) -> None:
    """Teach the trace an operator.

    Parameters
    ----------
    name
        `"mylib::scan"`, the operator itself (`torch.ops.mylib.scan`), or what `torch.library.custom_op` made.
    contraction, pointwise
        `formula(*args, out=result, **kwargs)` in FLOPs, given the operator's own arguments and result, from which
        it may read shapes only. One left out counts 0.

    Raises
    ------
    BadTarget
        Without a formula, and for an operator that has one already.

    Examples
    --------
    >>> register_operator("mylib::scan", pointwise=lambda x, out: x.numel())
    >>> forget_operator("mylib::scan")

    """
    key = _key_of(name)
    if contraction is None and pointwise is None:
        raise BadTarget(f"{key} was registered without a formula; give contraction=..., pointwise=... or both.")
    if key in _CONTRACTIONS or key in _POINTWISE or key in _registered:
        raise BadTarget(f"{key} has a formula already; register another operator.")
    _registered[key] = replace(_UNKNOWN, contraction=contraction, pointwise=pointwise or nothing)
    TAUGHT.add(key)
    costs_of.cache_clear()


def forget_operator(name: Any) -> None:
    """Take a registered operator out again, named as it was for `register_operator`.

    Raises BadTarget for one that is not registered.
    """
    key = _key_of(name)
    if key not in _registered:
        known = f"registered are {', '.join(sorted(_registered))}" if _registered else "none is registered"
        raise BadTarget(f"{key} was to be forgotten and is no operator that was registered; {known}.")
    del _registered[key]
    TAUGHT.discard(key)
    costs_of.cache_clear()


def _key_of(operator: Any) -> str:
    """Name under which the tables have an operator that a user gives."""
    if isinstance(operator, torch._ops.OpOverloadPacket):
        name = operator._qualified_op_name
    elif isinstance(operator, torch._ops.OpOverload):
        name = operator._schema.name
    elif isinstance(operator, CustomOpDef):
        name = operator._qualname
    elif isinstance(operator, str) and operator.count("::") == 1 and all(operator.split("::")):
        name = operator
    else:
        raise BadTarget(
            f"{operator!r} was given as an operator; its qualified name such as 'mylib::scan', torch.ops.mylib.scan or "
            "what torch.library.custom_op made is allowed."
        )
    return out_of_place(name)
