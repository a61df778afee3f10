"""The position-wise feed-forward network, plain (ReLU, GELU) or gated (SwiGLU).

Plain: up-projection D→F, activation, down-projection F→D. Gated: two up-projections, the activation of one times
the other. Positions do not mix. What differs by activation only is a row of `ACTIVATIONS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value

Activation = Literal["relu", "gelu", "gelu-tanh", "swiglu"]

# Activation → the function of an element; a gated one has a product beside it.
ACTIVATIONS: Mapping[str, str] = {"relu": "relu", "gelu": "gelu", "gelu-tanh": "gelu-tanh", "swiglu": "silu"}
GATED = frozenset({"swiglu"})


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
    def gated(self) -> bool:
        """Whether the activation of one projection multiplies another."""
        return self.activation in GATED

    def params(self) -> Bill:
        weights = {"up": (self.D * self.F, "W₁"), "down": (self.F * self.D, "W₂")}
        if self.gated:
            weights = {"gate": (self.D * self.F, "W_g"), **weights}
        if self.bias:
            weights |= {"up_bias": (self.F, "b₁"), "down_bias": (self.D, "b₂")}
            if self.gated:
                weights["gate_bias"] = (self.F, "b_g")
        return Bill.of(Kind.PARAMETERS, **weights)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        if not self.gated:
            hidden = t.linear("up", x, self.F, bias=self.bias, note="x [B,T,D] @ W₁ [D,F]")
            hidden = t.unary("activation", hidden, ACTIVATIONS[self.activation], self.activation)
        else:
            hidden = t.multiply(
                "multiply",
                t.unary(
                    "activation",
                    t.linear("gate", x, self.F, bias=self.bias, note="x [B,T,D] @ W_g [D,F]"),
                    ACTIVATIONS[self.activation],
                    self.activation,
                ),
                t.linear("up", x, self.F, bias=self.bias, note="x [B,T,D] @ W₁ [D,F]"),
                "gate ⊙ up",
            )
        return t.linear("down", hidden, self.D, bias=self.bias, note="a [B,T,F] @ W₂ [F,D]")
