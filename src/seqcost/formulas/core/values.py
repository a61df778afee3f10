"""Tensors of a program as a tape sees them: shape, memory and its layout, the way that a gradient takes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any, Protocol

from seqcost.algebra import Size, where
from seqcost.algebra.peak import TEMPORARY
from seqcost.formulas.core.chain import Step
from seqcost.formulas.core.comparing import equal
from seqcost.formulas.core.loops import Turn


class One(int):
    """The length of an axis that is stretched, unlike a size that happens to be 1."""


ONE = One(1)


class Holder(Protocol):
    """What counts the bytes of storages that are alive."""

    def go(self, storage: "Storage") -> None:
        """A storage is gone."""


class Mark:
    """What is known of a storage also when it is gone: its place on the chain of dependent operators.

    `purpose` is what it turned out to be for: one of `peak.CATEGORIES`.
    """

    __slots__ = ("gone", "purpose", "step")

    def __init__(self, step: Step | None = None) -> None:
        self.step = step
        self.purpose = TEMPORARY
        self.gone = False

    def turns_out(self, purpose: str) -> None:
        """It is for this; what is known to be for something stays so."""
        if self.purpose == TEMPORARY:
            self.purpose = purpose


class Storage:
    """Memory of one or several tensors that show it; it lives as long as one of them does.

    `itemsize` None is that of the working dtype. `belongs` says what it is besides a result: "input", "source",
    "weight", "state"; nothing of the program's own. `turns` are those of loops in which it was made, `copies` those of
    which it stands for all.
    """

    __slots__ = (
        "__weakref__", "_memory", "belongs", "copies", "elements", "itemsize", "mark", "name", "num_bytes", "turns",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        elements: Size,
        itemsize: Size | None = None,
        *,
        belongs: str = "",
        num_bytes: Size = 0,
        step: Step | None = None,
        memory: Holder | None = None,
        turns: tuple[Turn, ...] = (),
    ) -> None:
        self.name, self.elements, self.itemsize, self.belongs = name, elements, itemsize, belongs
        self.num_bytes, self.mark = num_bytes, Mark(step)
        self.copies: tuple[Turn, ...] = ()
        self.turns = turns
        self._memory = memory

    def __del__(self) -> None:
        self.mark.gone = True
        if self._memory is not None:
            self._memory.go(self)


@dataclass(eq=False, slots=True)
class Value:
    """A tensor: its shape, the memory that it shows, the node that made it.

    `strides` None are those of a shape that lies in one piece. An axis of one element has a stride too, whatever it is:
    PyTorch lets it take part where a layout is chosen. A view (`is_view`) keeps the tensor that it shows alive, also
    where nobody else does.
    """

    shape: tuple[Size, ...]
    storage: Storage
    node: "Node | None" = None  # None: no gradient flows back into it
    output: int = 0  # which of the node's results
    strides: tuple[Size, ...] | None = None
    is_view: bool = False

    @property
    def needs_gradient(self) -> bool:
        """Whether a gradient flows back into it."""
        return self.node is not None

    @property
    def numel(self) -> Size:
        """Elements that it shows."""
        return product(self.shape)

    @property
    def elements(self) -> Size:
        """Distinct ones that it shows: an expanded axis counts once."""
        if self.strides is None:
            return self.numel
        return product(
            size
            for size, stride in zip(self.shape, self.strides, strict=True)
            if not (isinstance(stride, int) and stride == 0)
        )

    @property
    def in_one_piece(self) -> bool:
        """Whether its elements follow each other in memory: contiguous."""
        return self.strides is None or lies_in_one_piece(self.shape, self.strides)

    @property
    def step(self) -> Step | None:
        """Its place on the longest chain of operators from the inputs; None for weights and constants."""
        return self.storage.mark.step


Gradients = Sequence[Value | None]
Backward = Callable[[Any, Any, Sequence[Value], Sequence[bool]], Gradients]
"""Tape, gradient(s) of the results, what was kept, which inputs want a gradient → their gradients."""


@dataclass(eq=False, slots=True)
class Node:
    """How values were made of others: where their gradients go, and what autograd keeps for the way back.

    A leaf (a weight, an input) is a node without inputs: there gradients arrive.
    """

    name: str
    number: int  # of its creation
    path: str
    turns: tuple[Turn, ...]  # of loops, in which it was made
    inputs: tuple[tuple["Node", int] | None, ...] = ()
    itemsizes: tuple[Size | None, ...] = ()  # of its inputs
    shapes: tuple[tuple[Size, ...], ...] = ()  # of its results
    backward: Backward | None = None
    kept: tuple[Any, ...] = ()  # values, None for what is not kept
    single: bool = True  # whether `backward` takes the one gradient itself, and not the list of them


def product(sizes: Iterable[Size]) -> Size:
    """All sizes multiplied."""
    factors = tuple(sizes)
    if all(isinstance(factor, int) for factor in factors):
        return prod(factors)  # SymPy's numbers are equal to Python's, and one for the other is not looked up
    return _product(factors)


@lru_cache(maxsize=2**14)
def _product(sizes: tuple[Size, ...]) -> Size:
    return prod(sizes)  # of formulas, which recur, as much work as all else


def same(a: Sequence[Size], b: Sequence[Size]) -> bool:
    """Whether two shapes are the same; an axis that is stretched to the length 1 is not stretched."""
    return len(a) == len(b) and all(_same_size(x, y) for x, y in zip(a, b, strict=True))


def _same_size(a: Size, b: Size) -> bool:
    if (a is ONE) != (b is ONE):
        return isinstance(a, int) and isinstance(b, int) and a == b
    return equal(a, b)


def stretches(narrow: Sequence[Size], wide: Sequence[Size]) -> Size:
    """1 where an axis is stretched to more than one element, which a formula may leave open; else 0."""
    if len(narrow) < len(wide):
        return 1
    by = product(b for a, b in zip(narrow, wide, strict=True) if a is ONE and b is not ONE)
    return 1 if isinstance(by, int) else where(by > 1, 1, 0)


def broadcast(a: Sequence[Size], b: Sequence[Size]) -> tuple[Size, ...]:
    """The shape of an operator between two tensors: an axis of ONE, or one that is lacking, is stretched."""
    length = max(len(a), len(b))
    left, right = (ONE,) * (length - len(a)) + tuple(a), (ONE,) * (length - len(b)) + tuple(b)
    return tuple(y if x is ONE else x for x, y in zip(left, right, strict=True))


def contiguous_strides(shape: Sequence[Size]) -> tuple[Size, ...]:
    """Elements from one index to the next, axis by axis, of a tensor that lies in one piece."""
    return _contiguous_strides(tuple(shape))


@lru_cache(maxsize=2**14)
def _contiguous_strides(shape: tuple[Size, ...]) -> tuple[Size, ...]:
    out: list[Size] = []
    step: Size = 1
    for size in reversed(shape):
        out.append(step)
        step = step * size
    return tuple(reversed(out))


def lies_in_one_piece(shape: Sequence[Size], strides: Sequence[Size]) -> bool:
    """Whether a tensor of these strides is contiguous; where an axis has one element its stride says nothing."""
    expected = contiguous_strides(shape)
    return all(
        (isinstance(size, int) and size == 1) or equal(a, b)
        for size, a, b in zip(shape, strides, expected, strict=True)
    )
