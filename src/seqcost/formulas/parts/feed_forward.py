"""The position-wise feed-forward network, plain (ReLU, GELU) or gated (SwiGLU).

Plain: up-projection D→F, activation, down-projection F→D. Gated: two up-projections, the activation of one times
the other. Positions do not mix. What differs by activation only is a row of `ACTIVATIONS`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.operator import Operator, elementwise, linear, linear_backward
from seqcost.formulas.core.workload import Workload

Activation = Literal["relu", "gelu", "gelu-tanh", "swiglu"]


@dataclass(frozen=True)
class ActivationCost:
    """What an activation costs an element, whether it is gated, and which side of it autograd keeps."""

    forward: int
    backward: int
    gated: bool
    keeps: Literal["input", "output"]


ACTIVATIONS: dict[str, ActivationCost] = {
    "relu": ActivationCost(pointwise.RELU, pointwise.RELU_BACKWARD, gated=False, keeps="output"),
    "gelu": ActivationCost(pointwise.GELU, pointwise.GELU_BACKWARD, gated=False, keeps="input"),
    "gelu-tanh": ActivationCost(pointwise.GELU_TANH, pointwise.GELU_TANH_BACKWARD, gated=False, keeps="input"),
    "swiglu": ActivationCost(pointwise.SILU, pointwise.SILU_BACKWARD, gated=True, keeps="input"),
}


@dataclass(frozen=True, kw_only=True)
class FeedForward(Component):
    """x → W₂ a(W₁ x), or W₂ (a(W_g x) ⊙ W₁ x) for a gated activation."""

    SOURCE: ClassVar[str] = (
        "Vaswani et al. 2017, arXiv 1706.03762, eq. 2; Shazeer 2020, arXiv 2002.05202, eq. 6 (SwiGLU)"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"\mathrm{FFN}(x) = W_2\, a(W_1 x + b_1) + b_2",
        r"\mathrm{SwiGLU}(x) = W_2\,\bigl(\mathrm{silu}(W_g x) \odot W_1 x\bigr)",
    )
    D: Size
    F: Size
    activation: Activation = "gelu"
    bias: bool = True

    def __post_init__(self) -> None:
        check_sizes(self, "D", "F")

    @property
    def keeps_input(self) -> bool:
        return True

    @property
    def cost(self) -> ActivationCost:
        """The activation's row."""
        return ACTIVATIONS[self.activation]

    def params(self) -> Bill:
        weights = {"up": (self.D * self.F, "W₁"), "down": (self.F * self.D, "W₂")}
        if self.cost.gated:
            weights = {"gate": (self.D * self.F, "W_g"), **weights}
        if self.bias:
            weights |= {"up_bias": (self.F, "b₁"), "down_bias": (self.D, "b₂")}
            if self.cost.gated:
                weights["gate_bias"] = (self.F, "b_g")
        return Bill.of(Kind.PARAMETERS, **weights)

    def forward(self, run: Workload) -> Iterator[Operator]:
        rows = run.B * run.T
        up = linear("up", rows, self.D, self.F, bias=self.bias, note="x [B,T,D] @ W₁ [D,F]")
        if self.cost.gated:
            yield linear("gate", rows, self.D, self.F, bias=self.bias, note="x [B,T,D] @ W_g [D,F]")
            yield up.beside()
        else:
            yield up
        yield elementwise("activation", rows * self.F, self.cost.forward, note=self.activation)
        if self.cost.gated:
            yield elementwise("multiply", rows * self.F, 1, operands=2, note="gate ⊙ up")
        yield linear("down", rows, self.F, self.D, bias=self.bias, note="a [B,T,F] @ W₂ [F,D]")

    def backward(self, run: Workload) -> Iterator[Operator]:
        rows = run.B * run.T
        yield from linear_backward("down", rows, self.F, self.D, bias=self.bias)
        if self.cost.gated:
            yield Operator(name="multiply_backward", pointwise=2 * rows * self.F, note="g ⊙ up, g ⊙ gate")
        yield Operator(name="activation_backward", pointwise=self.cost.backward * rows * self.F, note=self.activation)
        yield from linear_backward("up", rows, self.D, self.F, bias=self.bias)
        if self.cost.gated:
            yield from linear_backward("gate", rows, self.D, self.F, bias=self.bias)
            yield Operator(name="sum", pointwise=rows * self.D, note="both ways into x")

    def kept_bytes(self, run: Workload) -> Bill:
        hidden = run.B * run.T * self.F * run.itemsize
        if self.cost.gated:
            return Bill.of(
                Kind.SAVED,
                gate=(hidden, "W_g x"),
                up=(hidden, "W₁ x"),
                activation=(hidden, "a(W_g x)"),
                product=(hidden, "input of W₂"),
            )
        if self.cost.keeps == "input":
            return Bill.of(Kind.SAVED, up=(hidden, "W₁ x"), activation=(hidden, "input of W₂"))
        return Bill.of(Kind.SAVED, activation=(hidden, "input of W₂"))
