"""Images as sequences: patches of p × p pixels, each projected to a token; a class token before them; positions.

The projection is a convolution whose kernel and stride are the patch, which is one product per patch: p²·channels
features in, D out. T counts the patches, so an image of side s has T = (s/p)²; a class token makes T + 1 tokens.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value


@dataclass(frozen=True, kw_only=True)
class PatchEmbedding(Component):
    """Patches [B,T,patch²·channels] → tokens [B,T,D], or [B,T+1,D] with a class token, positions added.

    D width · patch side of a patch in pixels · channels of a pixel · M patches that the table of positions holds.
    Learned positions have a row for the class token too; fixed ones are sines and cosines of column and row in a square
    of M patches (D a multiple of 4).
    """

    SOURCE: ClassVar[str] = (
        "Dosovitskiy et al. 2020, arXiv 2010.11929, eq. 1; fixed positions: Peebles & Xie 2022, arXiv 2212.09748, "
        "section 3.2"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"z_0 = [x_\mathrm{class};\ x_1 W + b;\ \ldots;\ x_T W + b] + E_\mathrm{pos}",
    )

    D: Size
    M: Size
    patch: Size = 16
    channels: Size = 3
    class_token: bool = True
    positions: Literal["learned", "fixed"] = "learned"

    def __post_init__(self) -> None:
        check_sizes(self, "D", "M", "patch", "channels")
        if self.positions == "fixed":
            exact_div(self.D, 4, "fixed positions in two directions: width D")
            if isinstance(self.M, int) and math.isqrt(self.M) ** 2 != self.M:
                raise BadSize(
                    f"fixed positions: M = {self.M} was given; the patches of a square, 4, 9, 16 …, are allowed."
                )

    @property
    def width_in(self) -> Size:
        return self.patch**2 * self.channels

    @property
    def decodes(self) -> bool:
        return False

    @property
    def more(self) -> int:
        """Tokens that the sequence grows by."""
        return int(self.class_token)

    def tokens_out(self, T: Size) -> Size:
        return T + self.more

    def params(self) -> Bill:
        weights = {"project": (self.width_in * self.D, "W"), "project_bias": (self.D, "b")}
        if self.class_token:
            weights["class_token"] = (self.D, "x_class")
        if self.positions == "learned":
            weights["positions"] = ((self.M + self.more) * self.D, "E_pos")
        return Bill.of(Kind.PARAMETERS, **weights)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, D, longer = x.shape[0], self.D, self.tokens_out(x.shape[1])
        tokens = t.linear("project", x, D, note="patches [B,T,p²·channels] @ W, a convolution of stride p")
        if self.class_token:
            first = t.expand("class_token", t.weight(D), B, 1, D)
            tokens = t.cat("class_first", [first, tokens], B, longer, D, note="the class token before the patches")
            del first
        rows = t.weight(self.M + self.more, D) if self.positions == "learned" else t.buffer(self.M, D)
        return t.add("positions", tokens, t.part(rows, longer, D, name="positions"), note="+ the first rows of E_pos")
