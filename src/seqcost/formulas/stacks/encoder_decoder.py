"""Encoder-decoder Transformer: a source of S tokens is encoded once, a target of T tokens attends to it.

Embedding and head share one table, as in Vaswani et al. The source is encoded once; decoding carries its keys and
values in the state.
"""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.core.workload import ID_BYTES, Workload
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

    def input(self, t: Tape) -> Value:
        return self.decoder.input(t)

    def source_input(self, t: Tape) -> Value:
        return t.resident("source", (t.run.B, t.run.S), belongs="source", itemsize=ID_BYTES, flows=False, on_chain=True)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        if t.run.encoded:
            t.weight(self.encoder.params().total() - self.U * self.D)  # there, and not read
        encoded = None if source is None or t.run.started else self._encoded(t, source)
        return t.part_of("decoder", self.decoder, 1, x, encoded)

    def begin(self, t: Tape, source: Value) -> None:
        encoded = self._encoded(t, source)
        with t.at("decoder"):
            self.decoder.begin(t, encoded)

    def _encoded(self, t: Tape, source: Value) -> Value:
        """What the source becomes: every block of the decoder reads it."""
        run, t.run = t.run, replace(t.run.of_source(), started=False)
        y = t.part_of("encoder", self.encoder, 1, source)
        t.run = run
        return y

    def loss(self, t: Tape, y: Value) -> Value:
        return self.decoder.loss(t, y)

    def _norm(self) -> Norm:
        return Norm(D=self.D, kind=self.norm, bias=self.norm == "layer")

    def state_bytes(self, run: Workload) -> Bill:
        return self.decoder.state_bytes(run).under("decoder")

    def path_length(self, run: Workload) -> Bill:
        return self.decoder.path_length(run)
