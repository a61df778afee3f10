"""1-D convolution over the sequence: W taps that stand `dilation` tokens apart.

Three kinds, by what a tap multiplies: the whole token (full), its own feature only (depthwise), or its own feature with
a product that mixes the features afterwards (separable). Causal, the taps lie on the token and before it, and the last
(W−1)·dilation tokens are what decoding carries; otherwise as many lie after it as before.

PyTorch's kernel wants features before tokens: the input is padded with zeros, read through a transposed view, and the
result is copied back. Its products count on the padding too.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size, ceil_div, maximum
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.convolution import convolution


@dataclass(frozen=True, kw_only=True)
class Conv(Component):
    """A sum over W taps, each a weight times the token that lies a multiple of `dilation` before.

    D width · W taps, at least 2 (default 4; 5 with causal=False) · dilation tokens from one tap to the next.
    """

    SOURCE: ClassVar[str] = (
        "Bai et al. 2018, arXiv 1803.01271, sections 3.2, 3.3 (causal, dilated); van den Oord et al. 2016, "
        "arXiv 1609.03499, section 2.1; separable: Chollet 2016, arXiv 1610.02357, section 1"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"y_t = \sum_{j=0}^{W-1} A_j\, x_{t - j\delta} + b,\quad x_s = 0 \text{ for } s < 1,\quad \delta"
        r" = \text{dilation}\quad\text{(full, causal)}",
        r"y_t = \sum_{j=0}^{W-1} a_j \odot x_{t - j\delta} + b\quad\text{(depthwise)}",
        r"y_t = A \Bigl(\sum_{j=0}^{W-1} a_j \odot x_{t - j\delta}\Bigr) + b\quad\text{(separable)}",
    )

    D: Size
    W: Size = None
    dilation: Size = 1
    kind: Literal["full", "depthwise", "separable"] = "full"
    causal: bool = True
    bias: bool = True

    def __post_init__(self) -> None:
        if self.W is None:
            object.__setattr__(self, "W", 4 if self.causal else 5)
        check_sizes(self, "D", "W", "dilation")
        if isinstance(self.W, int) and self.W < 2:
            raise BadSize(f"Conv: W = {self.W} was given; a kernel of at least 2 taps mixes tokens: choose W ≥ 2.")
        if not self.causal:
            exact_div(self.W - 1, 2, "Conv with causal=False: the W − 1 taps beside the token's own, half on each side")

    @property
    def decodes(self) -> bool:
        return self.causal

    @property
    def reach(self) -> Size:
        """Tokens from the first tap to the last: what is padded, and what is carried."""
        return (self.W - 1) * self.dilation

    def params(self) -> Bill:
        D, W = self.D, self.W
        weights = {"kernel": (W * D * D, "A_j") if self.kind == "full" else (W * D, "a_j")}
        if self.kind == "separable":
            weights["mix"] = (D * D, "A")
        if self.bias:
            weights["mix_bias" if self.kind == "separable" else "kernel_bias"] = (D, "b")
        return Bill.of(Kind.PARAMETERS, **weights)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        (B, T, D), R = x.shape, self.reach
        if not t.run.started:
            return self._taps(t, t.pad("pad", x, B, R + T, D, note="(W−1)·dilation zeros"))
        columns = t.cat(
            "past", [t.carried("columns", B, R, D), x], B, R + T, D, note="carried tokens, then the new ones"
        )
        t.carry(t.copy("carry", t.part(columns, B, R, D), note="the last (W−1)·dilation tokens"))
        return self._taps(t, columns)

    def _taps(self, t: Tape, columns: Value) -> Value:
        (B, tokens, D), R, W = columns.shape, self.reach, self.W
        T, full = tokens - R, self.kind == "full"
        y = convolution(
            t, "taps", t.transpose(columns, 0, 2, 1), t.weight(D, D if full else 1, W), B, D, T,
            bias=self.bias and self.kind != "separable", dilation=self.dilation, groups=1 if full else D,
            note="W taps of x [B,D,(W−1)·dilation+T]",
        )  # fmt: skip
        y = t.copy("tokens_first", t.transpose(y, 0, 2, 1), note="[B,D,T] to [B,T,D]")
        if self.kind == "separable":
            y = t.linear("mix", y, D, bias=self.bias, note="y [B,T,D] @ A [D,D]")
        return y

    def state_bytes(self, run: Workload) -> Bill:
        if not self.causal:
            return Bill()
        columns = run.B * self.reach * self.D * run.itemsize
        return Bill.of(Kind.STATE, columns=(columns, "the last (W−1)·dilation tokens"))

    def path_length(self, run: Workload) -> Bill:
        reach = self.reach if self.causal else exact_div(self.reach, 2, "reach")
        layers = maximum(1, ceil_div(run.T - 1, reach))
        return Bill.of(Kind.PATH, layers=(layers, "layers one above the other until their reach spans the text"))
