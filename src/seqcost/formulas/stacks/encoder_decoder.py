"""Encoder-decoder Transformer: a source of S tokens is encoded once, a target of T tokens attends to it.

Embedding and head share one table, as in Vaswani et al. The source is encoded once; decoding carries its keys and
values in the state.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.operator import Operator, under
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.mixers.attention import Implementation
from seqcost.formulas.parts.embedding import Embedding
from seqcost.formulas.parts.feed_forward import Activation
from seqcost.formulas.parts.head import Head
from seqcost.formulas.parts.norm import Norm
from seqcost.formulas.parts.positions import SinusoidalPositions
from seqcost.formulas.stacks.assembly import Order
from seqcost.formulas.stacks.chain import Chain, Repeat
from seqcost.formulas.stacks.transformer import TransformerBlock


@dataclass(frozen=True, kw_only=True)
class EncoderDecoder(Component):
    """Source tokens [B,S] and target tokens [B,T] → logits [B,T,U]; L blocks on either side."""

    SOURCE: ClassVar[str] = "Vaswani et al. 2017, arXiv 1706.03762, figure 1 and section 3"
    EQUATIONS: ClassVar[tuple[str, ...]] = TransformerBlock.EQUATIONS

    U: Size
    D: Size
    L: Size
    H: Size
    F: Size = None
    order: Order = "post"
    activation: Activation = "relu"
    bias: bool = True
    attention_bias: bool = False
    implementation: Implementation = "fused"
    norm: Literal["layer", "rms"] = "layer"

    def __post_init__(self) -> None:
        check_sizes(self, "U", "L")
        object.__setattr__(self, "F", self.block(cross=False).F)
        assert self.decoder  # refuses sizes that no part takes

    def block(self, *, cross: bool) -> TransformerBlock:
        """A block of the decoder (with cross-attention, causal) or of the encoder."""
        return TransformerBlock(
            D=self.D,
            H=self.H,
            F=self.F,
            causal=cross,
            cross=cross,
            norm=self.norm,
            order=self.order,
            activation=self.activation,
            bias=self.bias,
            attention_bias=self.attention_bias,
            implementation=self.implementation,
        )

    def _side(self, block: TransformerBlock) -> dict[str, Component | Repeat]:
        norm = {"norm": self._norm()} if self.order == "pre" else {}
        return {
            "embedding": Embedding(U=self.U, D=self.D),
            "positions": SinusoidalPositions(D=self.D),
            "blocks": Repeat(block, self.L),
            **norm,
        }

    @property
    def encoder(self) -> Chain:
        """What the source goes through."""
        return Chain.of(**self._side(self.block(cross=False)))

    @property
    def decoder(self) -> Chain:
        """What the target goes through; its head reads the embedding's table."""
        return Chain.of(**self._side(self.block(cross=True)), head=Head(D=self.D, U=self.U, tied=True))

    @property
    def width_in(self) -> Size:
        return 1

    @property
    def width_out(self) -> Size:
        return self.U

    @property
    def takes_source(self) -> bool:
        return True

    @property
    def gives_logits(self) -> bool:
        return True

    def params(self) -> Bill:
        table = self.U * self.D
        shared = Bill.of(Kind.PARAMETERS, shared=(-table, "one embedding for source, target and head"))
        return self.encoder.params().under("encoder") + self.decoder.params().under("decoder") + shared

    def forward(self, run: Workload) -> Iterator[Operator]:
        if not run.encoded:
            yield from under("encoder", self.encoder.forward(run.of_source()))
            # The decoder runs beside the encoder until its first cross-attention; the encoder, longer by its
            # feed-forward, sets the pace.
            yield Operator(name="overlap", steps=-self._before_cross(run), note="decoder beside encoder")
        yield from under("decoder", self.decoder.forward(run))

    def _before_cross(self, run: Workload) -> Size:
        """Operators on the decoder's chain before the encoded source is first read."""
        block = self.block(cross=True).chain.links
        parts = [self.decoder.links[0][1], self.decoder.links[1][1]]
        for name, link in block:
            if name == "cross_attention":
                break
            parts.append(link)
        steps = sum((part.depth(run).total() for part in parts if isinstance(part, Component)), start=0)
        norm = self._norm().depth(run).total() if self.order == "pre" else 0
        # The materialised form scales its queries: one operator more than its keys, which wait for the encoder.
        scale = 1 if self.implementation == "materialised" else 0
        return steps + norm + scale

    def _norm(self) -> Norm:
        return Norm(D=self.D, kind=self.norm, bias=self.norm == "layer")

    def backward(self, run: Workload) -> Iterator[Operator]:
        yield from under("decoder", self.decoder.backward(run))
        yield from under("encoder", self.encoder.backward(run.of_source()))
        yield Operator(name="tie", pointwise=self.U * self.D, note="gradients of the shared table added")

    def kept_bytes(self, run: Workload) -> Bill:
        source = run.B * run.S * self.D * run.itemsize
        return (
            self.encoder.kept_bytes(run.of_source()).under("encoder")
            + Bill.of(Kind.SAVED, source=(source, "the encoded source, read by every decoder layer"))
            + self.decoder.kept_bytes(run).under("decoder")
        )

    def state_bytes(self, run: Workload) -> Bill:
        return self.decoder.state_bytes(run).under("decoder")

    def path_length(self, run: Workload) -> Bill:
        return self.decoder.path_length(run)
