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
    """An elementwise function: PyTorch's operator, operations of an element, what its derivative reads, and that."""

    operator: str
    forward: int
    keeps: str  # "input", "result", "nothing"
    derivative: Derivative
    number: bool = False  # whether a plain number is the other operand
    whole: bool = False  # and that an integer, as in x + 1


def _kernel(operator: str, operations: int, *, number: bool = False, whole: bool = False) -> Derivative:
    """One fused kernel of the gradient and what was kept, or a number."""

    def derivative(t: Any, name: str, g: Value, kept: Value | None) -> Any:
        inputs = [g] if kept is None else [g, kept]
        return t.pointwise(name, inputs, operations, operator=operator, number=number, whole=whole)

    return derivative


def _threshold(t: Any, name: str, g: Value, kept: Value | None) -> Any:
    return t.pointwise(
        name, [kept, g], pointwise.RELU_BACKWARD, operator="threshold_backward"
    )  # its result lies as the kept one does


def _gelu(t: Any, name: str, g: Value, x: Value | None) -> Any:
    assert x is not None
    itemsize, taken = t.bytes_of(g.storage.itemsize), 0
    if not (isinstance(itemsize, int) and itemsize == 8):  # float64 goes without oneDNN
        lies_as_input = g.in_one_piece or g.strides == x.strides
        taken = gelu_backward_bytes(g.numel * itemsize, is_dense=is_dense(g), lies_as_input=lies_as_input)
    return t.pointwise(name, [g, x], pointwise.GELU_BACKWARD, operator="gelu_backward", buffer=taken)


def _passed_on(t: Any, name: str, g: Value, kept: Value | None) -> Any:
    return g


def _steps(*operations: str, last: str = "mul") -> Derivative:
    """Small operators from what was kept, one after the other, and at last one of them and the gradient."""

    def derivative(t: Any, name: str, g: Value, kept: Value | None) -> Any:
        made = [kept]  # all are there until the last has run, as in an expression of C++
        for operation in operations:
            operator, number = STEPS[operation]
            made.append(t.pointwise(name, [made[-1]], 1, operator=operator, number=number))
        return t.pointwise(name, [g, made[-1]], 1, operator=last)

    return derivative


STEPS = {  # what is computed: the operator, and whether a plain number is the other operand
    "y + 1": ("add", True), "2 x": ("mul", True), "2 y": ("mul", True), "x": ("pow", False), "−": ("neg", False),
    "cos x": ("cos", False), "sin x": ("sin", False), "sign x": ("sgn", False),
}  # fmt: skip


def _reciprocal(t: Any, name: str, g: Value, y: Value | None) -> Any:
    square = t.pointwise(name, [y, y], 1, operator="mul")
    minus = [t.pointwise(name, [g], 1, operator="neg")]
    return t.pointwise(name, [minus.pop(), square], 1, operator="mul")


def _rsqrt(t: Any, name: str, g: Value, y: Value | None) -> Any:
    cube = t.pointwise(name, [y], 1, operator="pow")
    half = [t.pointwise(name, [g], 1, operator="mul", number=True)]
    return t.pointwise(name, [half.pop(), cube], 1, operator="mul")


FUNCTIONS = {
    "exp": Function("exp", 1, "result", _steps()),  # g y
    "expm1": Function("expm1", 1, "result", _steps("y + 1")),
    "log": Function("log", 1, "input", _kernel("div", 1)),  # g / x
    "sin": Function("sin", 1, "input", _steps("cos x")),
    "cos": Function("cos", 1, "input", _steps("sin x", "−")),
    "neg": Function("neg", 1, "nothing", _kernel("neg", 1)),
    "abs": Function("abs", 1, "input", _steps("sign x")),
    "square": Function("pow", 1, "input", _steps("x", "2 x")),
    "sqrt": Function("sqrt", 1, "result", _steps("2 y", last="div")),  # g / (2 y)
    "rsqrt": Function("rsqrt", 1, "result", _rsqrt),  # −½ g · y³
    "reciprocal": Function("reciprocal", 1, "result", _reciprocal),  # −g · y y
    "sigmoid": Function(
        "sigmoid", pointwise.SIGMOID, "result", _kernel("sigmoid_backward", pointwise.SIGMOID_BACKWARD)
    ),
    "tanh": Function("tanh", pointwise.TANH, "result", _kernel("tanh_backward", pointwise.TANH_BACKWARD)),
    "relu": Function("relu", pointwise.RELU, "result", _threshold),
    "silu": Function("silu", pointwise.SILU, "input", _kernel("silu_backward", pointwise.SILU_BACKWARD)),
    "gelu": Function("gelu", pointwise.GELU, "input", _gelu),
    "gelu-tanh": Function("gelu", pointwise.GELU_TANH, "input", _kernel("gelu_backward", pointwise.GELU_TANH_BACKWARD)),
    "elu": Function("elu", 1, "input", _kernel("elu_backward", 1)),
    "softplus": Function("softplus", 1, "input", _kernel("softplus_backward", 1)),
    "scale": Function("mul", 1, "nothing", _kernel("mul", 1, number=True), number=True),  # times a number
    "divide": Function("div", 1, "nothing", _kernel("div", 1, number=True), number=True),  # by a number
    "shift": Function("add", 1, "nothing", _passed_on, number=True),  # plus a number
    "complement": Function("rsub", 1, "nothing", _kernel("neg", 1), number=True),  # a number minus x
    "scale-whole": Function("mul", 1, "nothing", _kernel("mul", 1, number=True, whole=True), number=True, whole=True),
    "divide-whole": Function("div", 1, "nothing", _kernel("div", 1, number=True, whole=True), number=True, whole=True),
    "shift-whole": Function("add", 1, "nothing", _passed_on, number=True, whole=True),
    "complement-whole": Function("rsub", 1, "nothing", _kernel("neg", 1), number=True, whole=True),
    "copy": Function("clone", 0, "nothing", _passed_on),
}
