"""Encoder and decoder Transformers: one frozen set of sizes that covers BERT-, GPT- and Llama-like models.

What differs by family only is a choice of data: where the norms stand, which norm, which activation, which
positions, whether biases exist, what stands at the end. See presets for the published settings.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Size
from seqcost.formulas.core.component import Component, check_sizes, exact_div
from seqcost.formulas.mixers.attention import Attention, Implementation
from seqcost.formulas.parts.feed_forward import Activation, FeedForward
from seqcost.formulas.parts.norm import Norm
from seqcost.formulas.stacks.assembly import Ending, Order, Positions, block_chain, model_chain
from seqcost.formulas.stacks.chain import Assembled, Chain, Repeat


@dataclass(frozen=True, kw_only=True)
class TransformerBlock(Assembled):
    """Sublayers around residual connections, normalised before (pre) or after (post) each: attention, feed-forward.

    With `cross` a third sublayer between them attends to a source sequence: the block of a decoder with an encoder.
    """

    SOURCE: ClassVar[str] = (
        "Vaswani et al. 2017, arXiv 1706.03762, section 3.1; pre-norm: Xiong et al. 2020, arXiv 2002.04745"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"x \leftarrow x + \mathrm{Attention}(\mathrm{Norm}(x)),\quad x \leftarrow x + \mathrm{FFN}(\mathrm{Norm}(x))"
        r"\quad\text{(pre)}",
        r"x \leftarrow \mathrm{Norm}(x + \mathrm{Attention}(x)),\quad x \leftarrow \mathrm{Norm}(x + \mathrm{FFN}(x))"
        r"\quad\text{(post)}",
    )

    D: Size
    H: Size
    G: Size = None
    K: Size = None
    F: Size = None
    causal: bool = True
    cross: bool = False
    rope: bool = False
    rope_base: float = 10000.0
    norm: Literal["layer", "rms"] = "layer"
    epsilon: float = 1e-5
    order: Order = "pre"
    activation: Activation = "gelu"
    bias: bool = True
    attention_bias: bool | None = None
    implementation: Implementation = "fused"

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H")
        for letter, default in (("G", self.H), ("F", 4 * self.D), ("attention_bias", self.bias)):
            if getattr(self, letter) is None:
                object.__setattr__(self, letter, default)
        if self.K is None:
            object.__setattr__(self, "K", exact_div(self.D, self.H, "width D over heads H"))
        assert self.chain  # refuses sizes that no sublayer takes

    def _norm(self) -> Norm:
        return Norm(D=self.D, kind=self.norm, bias=self.norm == "layer", epsilon=self.epsilon)

    def _attention(self, *, cross: bool) -> Attention:
        return Attention(
            D=self.D,
            H=self.H,
            G=self.G,
            K=self.K,
            causal=self.causal and not cross,
            cross=cross,
            rope=self.rope and not cross,
            rope_base=self.rope_base,
            bias=bool(self.attention_bias),
            implementation=self.implementation,
        )

    @property
    def chain(self) -> Chain:
        sublayers: dict[str, Component] = {"attention": self._attention(cross=False)}
        if self.cross:
            sublayers["cross_attention"] = self._attention(cross=True)
        sublayers["feed_forward"] = FeedForward(D=self.D, F=self.F, activation=self.activation, bias=self.bias)
        return block_chain(sublayers, self._norm(), self.order)


@dataclass(frozen=True, kw_only=True)
class Transformer(Assembled):
    """Tokens [B,T] → logits [B,T,U] (or a pooled vector, or features): embedding, positions, L blocks, head.

    U vocabulary · D width · L layers · H heads · G key/value heads · K head width · F feed-forward width ·
    M positions that a learned table holds · A token types (0: none).
    """

    SOURCE: ClassVar[str] = TransformerBlock.SOURCE
    EQUATIONS: ClassVar[tuple[str, ...]] = TransformerBlock.EQUATIONS

    U: Size
    D: Size
    L: Size
    H: Size
    G: Size = None
    K: Size = None
    F: Size = None
    M: Size = 1024
    A: Size = 0
    causal: bool = True
    positions: Positions = "rope"
    rope_base: float = 10000.0
    norm: Literal["layer", "rms"] = "layer"
    epsilon: float = 1e-5
    order: Order = "pre"
    embedding_norm: bool = False
    activation: Activation = "gelu"
    bias: bool = True
    head: Ending = "logits"
    head_bias: bool = False
    tied: bool = True
    implementation: Implementation = "fused"

    def __post_init__(self) -> None:
        check_sizes(self, "U", "L", "M")
        block = self.block
        for letter in ("G", "K", "F"):
            object.__setattr__(self, letter, getattr(block, letter))
        assert self.chain  # refuses sizes that no part takes

    @property
    def block(self) -> TransformerBlock:
        """One of the L equal blocks."""
        return TransformerBlock(
            D=self.D,
            H=self.H,
            G=self.G,
            K=self.K,
            F=self.F,
            causal=self.causal,
            rope=self.positions == "rope",
            rope_base=self.rope_base,
            norm=self.norm,
            epsilon=self.epsilon,
            order=self.order,
            activation=self.activation,
            bias=self.bias,
            implementation=self.implementation,
        )

    @property
    def chain(self) -> Chain:
        return model_chain(
            Repeat(self.block, self.L),
            U=self.U,
            D=self.D,
            M=self.M,
            A=self.A,
            positions=self.positions,
            norm=Norm(D=self.D, kind=self.norm, bias=self.norm == "layer", epsilon=self.epsilon),
            embedding_norm=self.embedding_norm,
            order=self.order,
            head=self.head,
            head_bias=self.head_bias,
            tied=self.tied,
        )
