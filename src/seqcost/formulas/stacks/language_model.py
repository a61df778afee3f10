"""Models over any mixer, or over several in turn: the language model, and the encoder without a head.

A layer is a mixer and a feed-forward network, each around a residual connection. Mamba and its kin stand alone: F = 0
leaves the feed-forward out. A hybrid names several mixers, and the layers take them in turn: attention in every fourth
layer, say. Reversible layers keep nothing for the backward pass but their result.
"""

from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from seqcost.algebra import Size
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, check_sizes, differ, exact_div
from seqcost.formulas.parts.feed_forward import Activation, FeedForward
from seqcost.formulas.parts.norm import Norm
from seqcost.formulas.stacks.assembly import Ending, Order, block_chain, model_chain
from seqcost.formulas.stacks.chain import Assembled, Chain, Repeat
from seqcost.formulas.stacks.reversible import Reversible, ReversibleBlock


@dataclass(frozen=True, kw_only=True)
class MixerBlock(Assembled):
    """One layer over any mixer: the mixer and, unless F = 0, a feed-forward network."""

    SOURCE: ClassVar[str] = (
        "Vaswani et al. 2017, arXiv 1706.03762, section 3.1, with another mixer in attention's place"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"x \leftarrow x + \mathrm{Mixer}(\mathrm{Norm}(x)),\quad x \leftarrow x + \mathrm{FFN}(\mathrm{Norm}(x))",
    )

    D: Size
    mixer: Component
    F: Size = None
    norm: Literal["layer", "rms"] = "rms"
    epsilon: float = 1e-5
    order: Order = "pre"
    activation: Activation = "swiglu"
    bias: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, "D")
        if self.F is None:
            object.__setattr__(self, "F", 4 * self.D)
        for side in (self.mixer.width_in, self.mixer.width_out):
            if differ(side, self.D):
                raise BadSize(
                    f"a {type(self.mixer).__name__} of width {side} was given for a block of width {self.D}; a "
                    "residual connection takes equal widths only."
                )

    @property
    def _norm(self) -> Norm:
        return Norm(D=self.D, kind=self.norm, bias=self.norm == "layer", epsilon=self.epsilon)

    @property
    def _sublayers(self) -> dict[str, Component]:
        sublayers: dict[str, Component] = {"mixer": self.mixer}
        if not (isinstance(self.F, int) and self.F == 0):
            sublayers["feed_forward"] = FeedForward(D=self.D, F=self.F, activation=self.activation, bias=self.bias)
        return sublayers

    @property
    def chain(self) -> Chain:
        return block_chain(self._sublayers, self._norm, self.order)

    @property
    def reversible(self) -> ReversibleBlock:
        """The same sublayers on two streams."""
        if self.order == "post" or len(self._sublayers) < 2:
            raise BadSize(
                f"reversible layers with order={self.order!r} and F = {self.F} were asked for; they take a norm before "
                "each sublayer and a feed-forward network: set order='pre' and F of at least 1."
            )
        normed = {name: Chain((("norm", self._norm), ("", part))) for name, part in self._sublayers.items()}
        return ReversibleBlock(**normed)


@dataclass(frozen=True, kw_only=True)
class LanguageModel(Assembled):
    """Tokens [B,T] → logits [B,T,U]: embedding, L layers over `mixers` in turn, norm, head.

    U vocabulary · D width · L layers, a whole number of turns of the mixers · F feed-forward width (default 4·D, 0:
    none) · M positions that a learned table holds · A token types (0: none) · head "logits", "pooler" or "none".
    `reversible` layers give two streams of width D, so what stands behind them has the width 2·D.
    """

    SOURCE: ClassVar[str] = MixerBlock.SOURCE
    EQUATIONS: ClassVar[tuple[str, ...]] = MixerBlock.EQUATIONS

    U: Size
    D: Size
    L: Size
    mixers: tuple[Component, ...]
    F: Size = None
    M: Size = 1024
    A: Size = 0
    positions: Literal["learned", "sinusoidal", "none"] = "none"
    norm: Literal["layer", "rms"] = "rms"
    epsilon: float = 1e-5
    order: Order = "pre"
    embedding_norm: bool = False
    activation: Activation = "swiglu"
    bias: bool = False
    head: Ending = "logits"
    head_bias: bool = False
    tied: bool = True
    reversible: bool = False

    def __post_init__(self) -> None:
        check_sizes(self, "U", "L", "M")
        if self.reversible and self.tied and self.head == "logits":
            raise BadSize(
                "tied weights: the head reads both streams of reversible layers, 2·D wide, the embedding has D; "
                "set tied=false."
            )
        if not self.mixers:
            raise BadSize("a language model of no mixer was given; name at least one.")
        exact_div(self.L, len(self.mixers), "layers L over the mixers that take turns")
        object.__setattr__(self, "F", self.blocks[0].F)
        assert self.chain  # refuses sizes that no part takes

    @property
    def blocks(self) -> tuple[MixerBlock, ...]:
        """One turn of the mixers."""
        return tuple(
            MixerBlock(
                D=self.D,
                mixer=mixer,
                F=self.F,
                norm=self.norm,
                epsilon=self.epsilon,
                order=self.order,
                activation=self.activation,
                bias=self.bias,
            )
            for mixer in self.mixers
        )

    @property
    def chain(self) -> Chain:
        turn = self.blocks
        times = exact_div(self.L, len(turn), "layers L over the mixers that take turns")
        blocks: Component | Repeat
        if self.reversible:
            blocks = Reversible(blocks=tuple(block.reversible for block in turn), times=times)
        elif len(turn) == 1:
            blocks = Repeat(turn[0], times)
        else:
            blocks = Repeat(Chain(tuple((f"{i}", block) for i, block in enumerate(turn))), times)
        return model_chain(
            blocks,
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
            streams=2 if self.reversible else 1,
        )

    def sizes(self) -> dict[str, Any]:
        """The model's letters and those of its mixers; `mixers` by name where there are several."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "mixers"}
        inner: dict[str, Any] = {}
        for mixer in self.mixers:
            inner = mixer.sizes() | inner
        several = {} if len(self.mixers) == 1 else {"mixers": " ".join(type(m).__name__ for m in self.mixers)}
        return inner | own | several
