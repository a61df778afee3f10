"""Vision Transformer: an image as a sequence of patches, a class token before them, pre-norm blocks, classes.

The blocks are those of the bidirectional encoder; what differs is how a sequence begins and ends. T counts patches, the
blocks see T + 1 tokens. Dropout is not covered, nor positions interpolated to another size of image.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Size
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.mixers.attention import Implementation
from seqcost.formulas.parts.classify import ClassHead
from seqcost.formulas.parts.norm import Norm
from seqcost.formulas.parts.patches import PatchEmbedding
from seqcost.formulas.stacks.chain import Assembled, Chain, Repeat
from seqcost.formulas.stacks.transformer import TransformerBlock


@dataclass(frozen=True, kw_only=True)
class ViT(Assembled):
    """Patches [B,T,patch²·channels] (or images) → logits [B, classes], or features [B,T+1,D] with head "none".

    D width · L layers · H heads · F feed-forward width (default 4·D) · M patches that the table of positions holds: of
    an image of side s, (s/patch)² · patch side of a patch · channels of a pixel · classes.
    """

    SOURCE: ClassVar[str] = "Dosovitskiy et al. 2020, arXiv 2010.11929, eqs. 1–4 and table 1"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        *PatchEmbedding.EQUATIONS,
        r"z'_l = \mathrm{MSA}(\mathrm{LN}(z_{l-1})) + z_{l-1},\quad z_l = \mathrm{MLP}(\mathrm{LN}(z'_l)) + z'_l",
        r"\mathrm{logits} = W\,\mathrm{LN}(z_L)_\mathrm{class} + b",
    )

    D: Size
    L: Size
    H: Size
    F: Size = None
    M: Size = 196
    patch: Size = 16
    channels: Size = 3
    classes: Size = 1000
    positions: Literal["learned", "fixed"] = "learned"
    epsilon: float = 1e-6
    head: Literal["classes", "none"] = "classes"
    implementation: Implementation = "fused"

    def __post_init__(self) -> None:
        check_sizes(self, "L", "classes")
        object.__setattr__(self, "F", self.block.F)
        assert self.chain  # refuses sizes that no part takes

    @property
    def block(self) -> TransformerBlock:
        """One of the L equal blocks."""
        return TransformerBlock(
            D=self.D, H=self.H, F=self.F, causal=False, epsilon=self.epsilon, implementation=self.implementation
        )

    @property
    def chain(self) -> Chain:
        links: dict[str, Component | Repeat] = {
            "patches": PatchEmbedding(
                D=self.D, M=self.M, patch=self.patch, channels=self.channels, positions=self.positions
            ),
            "blocks": Repeat(self.block, self.L),
            "norm": Norm(D=self.D, epsilon=self.epsilon),
        }
        if self.head == "classes":
            links["head"] = ClassHead(D=self.D, classes=self.classes, pool="first")
        return Chain.of(**links)
