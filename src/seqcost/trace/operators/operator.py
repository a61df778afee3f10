"""What is known of one operator: its kernel and the sizes of a launch, its FLOPs, and how those are put in letters.

Formulas are called with the operator's own arguments and its result, `formula(*args, out=..., **kwargs)`, and read
nothing but shapes. `sizes` likewise; which they are is said with each `Kernel`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from seqcost.algebra.work import Kernel
from seqcost.trace.operators.letters import Letters

Formula = Callable[..., Any]


@dataclass(frozen=True)
class Operator:
    """An operator of PyTorch, or of a user.

    `contraction` and `pointwise` are its FLOPs; both None where nothing is known about it. `sizes` None: the kernel's
    own reading. `letters` say a contraction in letters.
    """

    kernel: Kernel
    contraction: Formula | None = None
    pointwise: Formula | None = None
    sizes: Formula | None = None
    letters: Letters | None = None

    @property
    def known(self) -> bool:
        """Whether the operator is counted."""
        return self.contraction is not None or self.pointwise is not None

    def sizes_of(self, args: Any, kwargs: Any, out: Any) -> tuple[Any, ...]:
        """Sizes of one launch."""
        found: tuple[Any, ...] = (self.sizes or _SIZES[self.kernel])(*args, out=out, **kwargs)
        return found


def one_table(*tables: Mapping[str, Operator]) -> dict[str, Operator]:
    """The tables in one; an operator that stands in two of them is a mistake of ours."""
    found: dict[str, Operator] = {}
    for table in tables:
        assert not (twice := found.keys() & table.keys()), f"{', '.join(sorted(twice))} has two formulas"
        found |= table
    return found


def alike(kernel: Kernel, formula: Formula, names: str, sizes: Formula | None = None) -> dict[str, Operator]:
    """Operators of ATen with one kernel and one formula of pointwise operations, their names apart by blanks."""
    return {f"aten::{name}": Operator(kernel, pointwise=formula, sizes=sizes) for name in names.split()}


def of_result(weight: int) -> Formula:
    """`weight` operations for each element of the (first) result."""
    return lambda *_, out, **__: weight * first(out).numel()


def of_operand(weight: int) -> Formula:
    """`weight` operations for each element of the first operand."""
    return lambda x, *_, **__: weight * first(x).numel()


def nothing(*_: Any, **__: Any) -> int:
    """Copies, casts, masks, fills, look-ups."""
    return 0


def first(value: Any) -> Any:
    """The first of several tensors; one alone is itself."""
    return next(iter(value), None) if isinstance(value, tuple | list) else value


def tensors_of(value: Any) -> Iterator[Any]:
    """Tensors among arguments, lists of them opened."""
    for item in value if isinstance(value, tuple | list) else (value,):
        if hasattr(item, "numel"):
            yield item
        elif isinstance(item, tuple | list):
            yield from tensors_of(item)


def elements(*args: Any, out: Any, **_: Any) -> tuple[Any, ...]:
    """Of the first result; of the first argument, where an operator writes into that and returns nothing."""
    tensor = next(tensors_of((out, args)), None)
    return () if tensor is None else (tensor.numel(),)


def _put(*args: Any, out: Any, **_: Any) -> tuple[Any, ...]:
    """Elements of the first operand: a gradient that is added to where it came from."""
    return elements(out=args)


def _reduced(*args: Any, out: Any, **_: Any) -> tuple[Any, ...]:
    x, y = next(tensors_of(args), None), next(tensors_of(out), None)
    if x is None or y is None:
        return ()
    return (y.numel(), x.numel() // y.numel() if y.numel() else 0)


def _along(*args: Any, out: Any, **kwargs: Any) -> tuple[Any, ...]:
    """Rows along the dimension among the arguments; along the last, where none is said."""
    x = next(tensors_of(args), None)
    if x is None or not x.dim():
        return (1, 1)
    said = (a for a in args[1:] if isinstance(a, int) and not isinstance(a, bool) and -x.dim() <= a < x.dim())
    length = x.shape[kwargs.get("dim", next(said, -1)) or 0]
    return (x.numel() // length if length else 0, length)


def _normed(x: Any, *_: Any, out: Any, **__: Any) -> tuple[Any, ...]:
    """Rows of equal mean and deviation: as many as there are of these among the results, else along the last axis."""
    last = x.shape[-1] if x.dim() else 1
    return (x.numel() // last if last else 0, last)


def _product(*args: Any, out: Any, **_: Any) -> tuple[Any, ...]:
    a, y = next(tensors_of(args)), next(tensors_of(out))
    k = a.shape[-1]
    n = y.shape[-1] if y.dim() == a.dim() else 1
    return (y.numel() // n if n else 0, k, n)


def _batched(*args: Any, out: Any, **_: Any) -> tuple[Any, ...]:
    a, y = next(tensors_of(args)), next(tensors_of(out))
    return (math.prod(y.shape[:-2]), y.shape[-2], a.shape[-1], y.shape[-1])


def _matrices(*args: Any, out: Any, **_: Any) -> tuple[Any, ...]:
    a = next(tensors_of(args))
    return (math.prod(a.shape[:-2]), *a.shape[-2:])


_SIZES: Mapping[Kernel, Formula] = dict.fromkeys(Kernel, elements) | {
    Kernel.PRODUCT: _product,
    Kernel.BATCHED_PRODUCT: _batched,
    Kernel.FACTORISATION: _matrices,
    Kernel.REDUCTION: _reduced,
    Kernel.SCAN: _along,
    Kernel.SOFTMAX: _along,
    Kernel.SORT: _along,
    Kernel.SCATTER: _put,
    Kernel.NORM: _normed,
}
