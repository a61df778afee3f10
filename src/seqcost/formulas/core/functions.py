"""Elementwise functions of one tensor: operations of an element, and the program of the derivative.

A derivative is that of PyTorch's autograd: one kernel of its own, or the small operators it is composed of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from seqcost.formulas.core import pointwise
from seqcost.formulas.core.buffers import gelu_backward_bytes
from seqcost.formulas.core.layout import is_dense
from seqcost.formulas.core.values import Value

Derivative = Callable[[Any, str, Value, Value | None], Value]
"""Tape, name of a row, gradient, what was kept (input or result) → gradient of the input."""


@dataclass(frozen=True)
class Function:
    """An elementwise function: operations of an element forward, what its derivative reads, and the derivative."""

    forward: int
    keeps: str  # "input", "result", "nothing"
    derivative: Derivative
    number: bool = False  # whether a plain number is the other operand
    whole: bool = False  # and that an integer, as in x + 1


def _kernel(operations: int, *, number: bool = False, whole: bool = False) -> Derivative:
    """One fused kernel of the gradient and what was kept, or a number."""

    def derivative(t: Any, name: str, g: Value, kept: Value | None) -> Any:
        return t.pointwise(name, [g] if kept is None else [g, kept], operations, number=number, whole=whole)

    return derivative


def _threshold(t: Any, name: str, g: Value, kept: Value | None) -> Any:
    return t.pointwise(name, [kept, g], pointwise.RELU_BACKWARD)  # its result lies as the kept one does


def _gelu(t: Any, name: str, g: Value, x: Value | None) -> Any:
    assert x is not None
    itemsize, taken = t.bytes_of(g.storage.itemsize), 0
    if not (isinstance(itemsize, int) and itemsize == 8):  # float64 goes without oneDNN
        lies_as_input = g.in_one_piece or g.strides == x.strides
        taken = gelu_backward_bytes(g.numel * itemsize, is_dense=is_dense(g), lies_as_input=lies_as_input)
    return t.pointwise(name, [g, x], pointwise.GELU_BACKWARD, buffer=taken)


def _passed_on(t: Any, name: str, g: Value, kept: Value | None) -> Any:
    return g


def _steps(*operations: str) -> Derivative:
    """Small operators from what was kept, one after the other, and at last their product with the gradient."""

    def derivative(t: Any, name: str, g: Value, kept: Value | None) -> Any:
        made = [kept]  # all are there until the last has run, as in an expression of C++
        for operation in operations:
            made.append(t.pointwise(name, [made[-1]], 1, number=operation in WITH_NUMBERS))
        return t.pointwise(name, [g, made[-1]], 1)

    return derivative


WITH_NUMBERS = ("y + 1", "2 x", "2 y")


def _reciprocal(t: Any, name: str, g: Value, y: Value | None) -> Any:
    square = t.pointwise(name, [y, y], 1)
    return t.pointwise(name, [t.pointwise(name, [g], 1), square], 1)


def _rsqrt(t: Any, name: str, g: Value, y: Value | None) -> Any:
    cube = t.pointwise(name, [y], 1)
    return t.pointwise(name, [t.pointwise(name, [g], 1, number=True), cube], 1)


FUNCTIONS = {
    "exp": Function(1, "result", _steps()),  # g y
    "expm1": Function(1, "result", _steps("y + 1")),
    "log": Function(1, "input", _kernel(1)),  # g / x
    "sin": Function(1, "input", _steps("cos x")),
    "cos": Function(1, "input", _steps("sin x", "−")),
    "neg": Function(1, "nothing", _kernel(1)),
    "abs": Function(1, "input", _steps("sign x")),
    "square": Function(1, "input", _steps("x", "2 x")),
    "sqrt": Function(1, "result", _steps("2 y")),  # g / (2 y)
    "rsqrt": Function(1, "result", _rsqrt),  # −½ g · y³
    "reciprocal": Function(1, "result", _reciprocal),  # −g · y y
    "sigmoid": Function(pointwise.SIGMOID, "result", _kernel(pointwise.SIGMOID_BACKWARD)),
    "tanh": Function(pointwise.TANH, "result", _kernel(pointwise.TANH_BACKWARD)),
    "relu": Function(pointwise.RELU, "result", _threshold),
    "silu": Function(pointwise.SILU, "input", _kernel(pointwise.SILU_BACKWARD)),
    "gelu": Function(pointwise.GELU, "input", _gelu),
    "gelu-tanh": Function(pointwise.GELU_TANH, "input", _kernel(pointwise.GELU_TANH_BACKWARD)),
    "elu": Function(1, "input", _kernel(1)),
    "softplus": Function(1, "input", _kernel(1)),
    "scale": Function(1, "nothing", _kernel(1, number=True), number=True),  # times a number
    "shift": Function(1, "nothing", _passed_on, number=True),  # plus a number
    "complement": Function(1, "nothing", _kernel(1), number=True),  # a number minus x
    "scale-whole": Function(1, "nothing", _kernel(1, number=True, whole=True), number=True, whole=True),
    "shift-whole": Function(1, "nothing", _passed_on, number=True, whole=True),
    "complement-whole": Function(1, "nothing", _kernel(1), number=True, whole=True),
    "copy": Function(0, "nothing", _passed_on),
}
