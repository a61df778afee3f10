"""Tensors of a program as a tape sees them: shape, memory, gradient; and the elementwise functions between them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from seqcost.algebra import Size
from seqcost.algebra.expr import is_array, is_symbolic
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.operator import Operator


class One(int):
    """The length of an axis that is stretched, unlike a size that happens to be 1."""


ONE = One(1)


@dataclass(frozen=True)
class Function:
    """An elementwise function: operations of an element forward and backward, and what its derivative reads."""

    forward: int
    backward: int
    keeps: str  # "input", "result", "nothing"


FUNCTIONS = {
    "exp": Function(1, 1, "result"),
    "expm1": Function(1, 2, "result"),
    "log": Function(1, 1, "input"),
    "sin": Function(1, 2, "input"),
    "cos": Function(1, 3, "input"),
    "neg": Function(1, 1, "nothing"),
    "abs": Function(1, 2, "input"),
    "square": Function(1, 3, "input"),
    "sqrt": Function(1, 2, "result"),
    "rsqrt": Function(1, 3, "result"),
    "reciprocal": Function(1, 3, "result"),
    "sigmoid": Function(pointwise.SIGMOID, pointwise.SIGMOID_BACKWARD, "result"),
    "tanh": Function(pointwise.TANH, pointwise.TANH_BACKWARD, "result"),
    "relu": Function(pointwise.RELU, pointwise.RELU_BACKWARD, "result"),
    "silu": Function(pointwise.SILU, pointwise.SILU_BACKWARD, "input"),
    "gelu": Function(pointwise.GELU, pointwise.GELU_BACKWARD, "input"),
    "gelu-tanh": Function(pointwise.GELU_TANH, pointwise.GELU_TANH_BACKWARD, "input"),
    "elu": Function(1, 1, "input"),
    "softplus": Function(1, 1, "input"),
    "scale": Function(1, 1, "nothing"),  # times a number
    "shift": Function(1, 0, "nothing"),  # plus a number
    "complement": Function(1, 1, "nothing"),  # a number minus x
    "copy": Function(0, 0, "nothing"),
}


@dataclass(eq=False)
class Storage:
    """Memory of one or several tensors that show it. `itemsize` None is that of the working dtype."""

    name: str
    elements: Size
    itemsize: Size | None = None
    belongs: str = ""  # "input", "source", "weight": not what the program itself keeps


@dataclass(eq=False)
class Value:
    """A tensor of the program: its shape, the memory it shows, whether a gradient flows back into it."""

    shape: tuple[Size, ...]
    storage: Storage
    elements: Size  # distinct ones: an expanded axis counts once
    needs_gradient: bool
    depth: int | None = None  # operators on the longest chain from the inputs; None for weights and constants
    chain: tuple[str, ...] = ()  # their names

    @property
    def numel(self) -> Size:
        """Elements that it shows."""
        return product(self.shape)


Backward = Callable[[Sequence[bool]], Iterable[Operator]]


@dataclass(eq=False)
class Node:
    """How values were made of others, and the memory that autograd keeps for the way back."""

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    backward: Backward
    keeps: list[Storage] = field(default_factory=list)


def product(sizes: Iterable[Size]) -> Size:
    """All sizes multiplied."""
    out: Size = 1
    for size in sizes:
        out = out * size
    return out


def same(a: Sequence[Size], b: Sequence[Size]) -> bool:
    """Whether two shapes are the same, stretched axes included."""
    return len(a) == len(b) and all(_same_size(x, y) for x, y in zip(a, b, strict=True))


def _same_size(a: Size, b: Size) -> bool:
    if (a is ONE) != (b is ONE):
        return False
    return a is b or (isinstance(a, int) and isinstance(b, int) and a == b) or equal(expanded(a), expanded(b))


def broadcast(a: Sequence[Size], b: Sequence[Size]) -> tuple[Size, ...]:
    """The shape of an operator between two tensors: an axis of ONE, or one that is lacking, is stretched."""
    length = max(len(a), len(b))
    left, right = (ONE,) * (length - len(a)) + tuple(a), (ONE,) * (length - len(b)) + tuple(b)
    return tuple(y if x is ONE else x for x, y in zip(left, right, strict=True))


def expanded(size: Size) -> Size:
    """Products multiplied out, so that equal sizes look equal."""
    if is_symbolic(size):
        import sympy

        return sympy.expand(size)
    return size


def equal(a: Size, b: Size) -> bool:
    """Whether two sizes are the same, in every point of a sweep."""
    return bool((a == b).all()) if is_array(a == b) else bool(a == b)
