"""Operators that take functions (`flex_attention`, scans, `cond`): followed into what the CPU executes for them.

Eager PyTorch computes each by plain operators: attention with the whole rectangle of scores, a scan by halves or step
by step. Those are booked. A kernel written in Triton is one operator of its own, `triton::name`.
"""

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from seqcost.fakes.compiler import is_loaded

_FOLLOWED = ("flex_attention", "flex_attention_backward", "associative_scan", "map_impl")


def is_higher_order(operator: Any) -> bool:
    """Whether an operator takes functions, so that it has no schema of tensors."""
    return isinstance(operator, torch._ops.HigherOrderOperator)


def uncompiled() -> AbstractContextManager[Any]:
    """Run what `torch.compile` has wrapped as it is written: the compiler would compile the book, too.

    Where nothing can be compiled yet the compiler is not loaded for it.
    """
    if not is_loaded() and "torch.nn.attention.flex_attention" not in sys.modules:
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def follow(operator: Any, args: Any, kwargs: Any) -> Any:
    """The operator by plain ones; raises NotImplementedError for one that PyTorch itself does not spell out."""
    name = operator.name()
    if name in _FOLLOWED:
        return operator.py_kernels[torch._C.DispatchKey.CompositeExplicitAutograd](*args, **kwargs)
    rule = _RULES.get(name)
    if rule is None:
        raise NotImplementedError(f"the operator {name} takes functions and has no rule")
    return rule(*args, **kwargs)


def _scan(combine: Any, start: Any, xs: Any, more: Any) -> Any:
    from torch._higher_order_ops.scan import generic_scan

    return generic_scan(combine, start, xs, additional_inputs=more)


def _cond(condition: Any, if_true: Any, if_false: Any, operands: Any) -> Any:
    return if_true(*operands) if bool(condition) else if_false(*operands)  # a value is asked for: real tensors


def _while(condition: Any, body: Any, carried: Any, more: Any) -> Any:
    while bool(condition(*carried, *more)):
        carried = body(*carried, *more)
    return carried


_RULES = {"scan": _scan, "cond": _cond, "while_loop": _while}
