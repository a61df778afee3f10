"""Diffusion Transformer: patches of a noised latent image, blocks whose norms the time and the label shift and scale.

Each block derives six vectors a sequence from the condition c: shift, scale and gate of its attention and of its
feed-forward network (adaLN-Zero; the gates start at 0, so every block starts as the identity). The condition is one
vector a sequence: an MLP over sines and cosines of the time, plus a row of a table for the label. SiLU of it, which all
blocks read, is made once; published code makes it in every block.

The positions are fixed sines and cosines; they are no parameters. Costs are of one evaluation; classifier-free guidance
doubles the batch. Not counted: putting the result's patches back into an image, which only moves them.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from seqcost.algebra import Bill, Kind, Size
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import ID_BYTES, Workload
from seqcost.formulas.mixers.attention import Attention
from seqcost.formulas.ops.row_norms import layer_norm
from seqcost.formulas.parts.embedding import look_up
from seqcost.formulas.parts.feed_forward import FeedForward
from seqcost.formulas.parts.patches import PatchEmbedding
from seqcost.formulas.stacks.chain import Chain, Repeat

TIME_FEATURES = 256  # sines and cosines of the time
_ANGLE_BYTES = 4  # made in float32, whatever the dtype of the weights
_SOURCE = "Peebles & Xie 2022, arXiv 2212.09748"


@dataclass(frozen=True, kw_only=True)
class Condition(Component):
    """Times [B] and labels [B] → SiLU(c) [B,1,D]; one row of the table stands for no label."""

    SOURCE: ClassVar[str] = f"{_SOURCE}, section 3.2; times: Ho et al. 2020, arXiv 2006.11239, appendix B"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"c = W_2\,\mathrm{silu}(W_1 [\cos(\omega t), \sin(\omega t)] + b_1) + b_2 + E_\mathrm{label},\quad "
        r"\omega_i = 10000^{-i/128}",
    )

    D: Size
    classes: Size

    def params(self) -> Bill:
        D = self.D
        return Bill.of(
            Kind.PARAMETERS,
            time_in=(TIME_FEATURES * D, "W₁"),
            time_in_bias=(D, "b₁"),
            time_out=(D * D, "W₂"),
            time_out_bias=(D, "b₂"),
            labels=((self.classes + 1) * D, "E"),
        )

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, D = t.run.B, self.D
        time, label = (
            t.resident(name, (B,), belongs="input", itemsize=ID_BYTES, flows=False, on_chain=True)
            for name in ("time", "label")
        )
        angle = self._angle(t, time)
        waves = [t.pointwise("cosine", [angle], 1, operator="cos"), t.pointwise("sine", [angle], 1, operator="sin")]
        joined = [t.cat("waves", waves, B, TIME_FEATURES, note="side by side")]
        del waves
        features = t.cast("cast", joined.pop(), None, "in the working dtype")
        hidden = [t.unary("time_silu", t.linear("time_in", features, D), "silu")]
        c = t.add(
            "condition", t.linear("time_out", hidden.pop(), D),
            look_up(t, "label", label, t.weight(self.classes + 1, D), "a row of E"), note="time + label",
        )  # fmt: skip
        return t.unary("silu", t.view(c, B, 1, D), "silu", note="silu(c), read by every block")

    @staticmethod
    def _angle(t: Tape, time: Value) -> Value:
        at = t.view(t.cast("time", time, _ANGLE_BYTES, "in float32"), t.run.B, ONE)
        frequencies = t.buffer(TIME_FEATURES // 2, itemsize=_ANGLE_BYTES)
        return t.pointwise("angle", [at, frequencies], 1, "ω t", operator="mul")


@dataclass(frozen=True, kw_only=True)
class DiTBlock(Component):
    """Attention and feed-forward network, each modulated before and gated behind. The source is SiLU(c) [B,1,D]."""

    SOURCE: ClassVar[str] = f"{_SOURCE}, figure 3 (adaLN-Zero)"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"\beta_1, \gamma_1, \alpha_1, \beta_2, \gamma_2, \alpha_2 = \mathrm{silu}(c)\,W + b",
        r"x \leftarrow x + \alpha_1 \odot \mathrm{Attention}((1 + \gamma_1) \odot \mathrm{LN}(x) + \beta_1)",
        r"x \leftarrow x + \alpha_2 \odot \mathrm{FFN}((1 + \gamma_2) \odot \mathrm{LN}(x) + \beta_2)",
    )

    D: Size
    H: Size
    F: Size = None

    def __post_init__(self) -> None:
        if self.F is None:
            object.__setattr__(self, "F", 4 * self.D)
        assert self.attention, self.feed_forward  # refuse sizes that they do not take

    @property
    def attention(self) -> Attention:
        """Over all patches, both ways."""
        return Attention(D=self.D, H=self.H, causal=False)

    @property
    def feed_forward(self) -> FeedForward:
        """With the approximate GELU."""
        return FeedForward(D=self.D, F=self.F, activation="gelu-tanh")

    @property
    def takes_source(self) -> bool:
        return True

    @property
    def decodes(self) -> bool:
        return False

    def params(self) -> Bill:
        own = Bill.of(
            Kind.PARAMETERS, modulation=(6 * self.D**2, "shifts, scales, gates"), modulation_bias=(6 * self.D, "")
        )
        return own + self.attention.params().under("attention") + self.feed_forward.params().under("feed_forward")

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        assert source is not None
        (B, _, D) = x.shape
        six = t.linear("modulation", source, 6 * D, note="silu(c) [B,1,D] @ W [D,6D]")
        shift, scale, gate, shift_f, scale_f, gate_f = t.parts(six, *[(B, ONE, D)] * 6, name="modulation_parts")
        with t.at("attention"):
            y = t.part_of("", self.attention, 1, _modulated(t, x, shift, scale))
            y = t.multiply("gate", gate, y)
            x = t.add("residual", x, y)
        del y
        with t.at("feed_forward"):
            y = t.part_of("", self.feed_forward, 1, _modulated(t, x, shift_f, scale_f))
            y = t.multiply("gate", gate_f, y)
            return t.add("residual", x, y)

    def path_length(self, run: Workload) -> Bill:
        return self.attention.path_length(run)


@dataclass(frozen=True, kw_only=True)
class DiTFinal(Component):
    """A modulated norm, then the features of a patch: its noise and the variance of it."""

    SOURCE: ClassVar[str] = f"{_SOURCE}, section 3.2"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"\beta, \gamma = \mathrm{silu}(c)\,W + b,\quad y = W_o((1 + \gamma) \odot \mathrm{LN}(x) + \beta) + b_o",
    )

    D: Size
    features: Size

    @property
    def width_out(self) -> Size:
        return self.features

    @property
    def takes_source(self) -> bool:
        return True

    @property
    def decodes(self) -> bool:
        return False

    def params(self) -> Bill:
        D = self.D
        return Bill.of(
            Kind.PARAMETERS,
            modulation=(2 * D**2, "shift, scale"),
            modulation_bias=(2 * D, ""),
            project=(D * self.features, "W_o"),
            project_bias=(self.features, "b_o"),
        )

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        assert source is not None
        (B, _, D) = x.shape
        shift, scale = t.parts(t.linear("modulation", source, 2 * D), *[(B, ONE, D)] * 2, name="modulation_parts")
        return t.linear("project", _modulated(t, x, shift, scale), self.features)


def _modulated(t: Tape, x: Value, shift: Value, scale: Value) -> Value:
    """(1 + scale) ⊙ LN(x) + shift; the norm has no weights of its own."""
    normalised = layer_norm(t, "normalise", x, result="normalised", note="(x − μ)/σ")
    scaled = t.multiply("scale", normalised, t.unary("scale_by", scale, "shift-whole"))
    del normalised
    return t.add("shift", scaled, shift)


@dataclass(frozen=True, kw_only=True)
class DiT(Component):
    """Patches [B,T,patch²·channels] (or latents), times [B] and labels [B] → patches [B,T,patch²·outputs].

    D width · L layers · H heads · F feed-forward width (default 4·D) · M patches of the square latent · patch side of a
    patch · channels of the latent · outputs channels that come out (default 2·channels: noise and variance) · classes.
    """

    SOURCE: ClassVar[str] = f"{_SOURCE}, section 3.2 and table 1"
    EQUATIONS: ClassVar[tuple[str, ...]] = (*Condition.EQUATIONS, *DiTBlock.EQUATIONS, *DiTFinal.EQUATIONS)

    D: Size
    L: Size
    H: Size
    F: Size = None
    M: Size = 256
    patch: Size = 2
    channels: Size = 4
    outputs: Size = None
    classes: Size = 1000
    positions: Literal["fixed", "learned"] = "fixed"

    def __post_init__(self) -> None:
        if self.outputs is None:
            object.__setattr__(self, "outputs", 2 * self.channels)
        check_sizes(self, "L", "classes", "outputs")
        object.__setattr__(self, "F", self.block.F)
        assert self.chain  # refuses sizes that no part takes

    @property
    def block(self) -> DiTBlock:
        """One of the L equal blocks."""
        return DiTBlock(D=self.D, H=self.H, F=self.F)

    @property
    def condition(self) -> Condition:
        """What the blocks' source is made of."""
        return Condition(D=self.D, classes=self.classes)

    @property
    def chain(self) -> Chain:
        """What the patches go through."""
        patches = PatchEmbedding(
            D=self.D, M=self.M, patch=self.patch, channels=self.channels, class_token=False, positions=self.positions
        )
        final = DiTFinal(D=self.D, features=self.patch**2 * self.outputs)
        return Chain.of(patches=patches, blocks=Repeat(self.block, self.L), final=final)

    @property
    def width_in(self) -> Size:
        return self.chain.width_in

    @property
    def width_out(self) -> Size:
        return self.chain.width_out

    @property
    def decodes(self) -> bool:
        return False

    def params(self) -> Bill:
        return self.condition.params().under("condition") + self.chain.params()

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        (patches, embed, _), (blocks, block, L), (final, last, _) = self.chain.parts
        y, condition = t.part_of(patches, embed, 1, x), t.part_of("condition", self.condition, 1, x)
        with t.at(blocks):
            for _ in t.layers(L, reading=condition):
                y = t.part_of("", block, 1, y, condition)
        return t.part_of(final, last, 1, y, condition)

    def path_length(self, run: Workload) -> Bill:
        return self.chain.path_length(run)
