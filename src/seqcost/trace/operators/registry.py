"""Which formula belongs to which operator, and how users add their own.

There is one table, and an operator stands in it once. It is looked up by its packet (`aten::add` stands for
`add.Tensor`, `add_` and `add.out` alike). One that is not in the table but carries PyTorch's tag `pointwise`, in one of
its forms, counts 1 for each element; every other one is uncounted.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch._library.custom_ops import CustomOpDef

from seqcost.algebra.work import Kernel
from seqcost.errors import BadTarget, UnknownName
from seqcost.fakes.schemas import base_name, is_pointwise, out_of_place
from seqcost.programs.files.program_operators import TAUGHT
from seqcost.trace.operators.contractions import CONTRACTIONS
from seqcost.trace.operators.cudnn import CUDNN
from seqcost.trace.operators.elementwise import POINTWISE
from seqcost.trace.operators.factorisations import FACTORISATIONS
from seqcost.trace.operators.operator import Operator, elements, nothing, of_result, one_table
from seqcost.trace.operators.packed import PACKED
from seqcost.trace.operators.windows import WINDOWS

OPERATORS = one_table(CONTRACTIONS, CUDNN, FACTORISATIONS, POINTWISE, WINDOWS, PACKED)
_UNKNOWN = Operator(Kernel.OTHER)
_ELEMENT_BY_ELEMENT = Operator(Kernel.ELEMENTWISE, pointwise=of_result(1))
_registered: dict[str, Operator] = {}


@cache
def costs_of(operator: Any) -> Operator:
    """What is known of an operator; the user's own first."""
    return named(base_name(operator)) or (_ELEMENT_BY_ELEMENT if is_pointwise(operator) else _UNKNOWN)


def named(name: str) -> Operator | None:
    """What is known of an operator by its name, `aten::mm`."""
    return _registered.get(name) or OPERATORS.get(name)


def register_operator(
    name: Any,
    *,
    contraction: Callable[..., Any] | None = None,
    pointwise: Callable[..., Any] | None = None,
    kernel: str = "other",
) -> None:
    """Teach the trace an operator.

    Parameters
    ----------
    name
        `"mylib::scan"`, the operator itself (`torch.ops.mylib.scan`), or what `torch.library.custom_op` made.
    contraction, pointwise
        `formula(*args, out=result, **kwargs)` in FLOPs, given the operator's own arguments and result, from which
        it may read shapes only. One left out counts 0.
    kernel
        What kind of kernel it launches: product, attention, elementwise, scan and so on (`algebra.work.Kernel`).

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
    if key in OPERATORS or key in _registered:
        raise BadTarget(f"{key} has a formula already; register another operator.")
    if kernel not in tuple(Kernel):
        raise UnknownName.among("kernel", kernel, tuple(Kernel))
    _registered[key] = Operator(Kernel(kernel), contraction, pointwise or nothing, elements)
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
