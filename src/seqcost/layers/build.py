"""From a config to its working layer: the one place that knows which class is whose twin. Whole models by name."""

from collections.abc import Mapping
from typing import Any

from seqcost.errors import BadSize, BadTarget, shortened
from seqcost.formulas.catalogue import classifier, language_model
from seqcost.formulas.core.component import Component
from seqcost.formulas.mixers import (
    aaren,
    attention,
    bigbird,
    conv,
    deltanet,
    etc,
    gated_deltanet,
    gla,
    gru,
    linear_attention,
    lsh,
    lstm,
    mamba,
    mamba2,
    mingru,
    minlstm,
    retnet,
    retro,
    rg_lru,
    rnn,
    s4d,
    supra,
    ttt_linear,
    ttt_mlp,
    window,
)
from seqcost.formulas.parts import classify, embedding, feed_forward, head, norm, patches, positions
from seqcost.formulas.stacks import chain, dit, encoder_decoder, reversible, vit
from seqcost.formulas.stacks import classifier as classifiers
from seqcost.formulas.stacks import language_model as models
from seqcost.layers.core.layer import Layer
from seqcost.layers.mixers.aaren import Aaren
from seqcost.layers.mixers.attention import Attention
from seqcost.layers.mixers.bigbird import BigBird
from seqcost.layers.mixers.conv import Conv
from seqcost.layers.mixers.deltanet import DeltaNet
from seqcost.layers.mixers.etc import Etc
from seqcost.layers.mixers.gated_deltanet import GatedDeltaNet
from seqcost.layers.mixers.gla import Gla
from seqcost.layers.mixers.gru import Gru
from seqcost.layers.mixers.linear_attention import LinearAttention
from seqcost.layers.mixers.lsh import LshAttention
from seqcost.layers.mixers.lstm import Lstm
from seqcost.layers.mixers.mamba import Mamba
from seqcost.layers.mixers.mamba2 import Mamba2
from seqcost.layers.mixers.mingru import MinGru
from seqcost.layers.mixers.minlstm import MinLstm
from seqcost.layers.mixers.retnet import RetNet
from seqcost.layers.mixers.retro import ChunkedCrossAttention
from seqcost.layers.mixers.rg_lru import RgLru
from seqcost.layers.mixers.rnn import Rnn
from seqcost.layers.mixers.s4d import S4d
from seqcost.layers.mixers.supra import Supra
from seqcost.layers.mixers.ttt_linear import TttLinear
from seqcost.layers.mixers.ttt_mlp import TttMlp
from seqcost.layers.mixers.window import WindowAttention
from seqcost.layers.parts.classify import ClassHead
from seqcost.layers.parts.embedding import Embedding
from seqcost.layers.parts.feed_forward import FeedForward
from seqcost.layers.parts.head import Head, Pooler
from seqcost.layers.parts.norm import Norm
from seqcost.layers.parts.patches import PatchEmbedding
from seqcost.layers.parts.positions import LearnedPositions, SinusoidalPositions, TokenType
from seqcost.layers.stacks.chain import Chain, Residual
from seqcost.layers.stacks.dit import DiT
from seqcost.layers.stacks.encoder_decoder import EncoderDecoder
from seqcost.layers.stacks.reversible import Reversible
from seqcost.layers.stacks.vit import ViT

TWINS: dict[type[Component], type[Any]] = {
    attention.Attention: Attention,
    conv.Conv: Conv,
    retro.ChunkedCrossAttention: ChunkedCrossAttention,
    rnn.Rnn: Rnn,
    lstm.Lstm: Lstm,
    gru.Gru: Gru,
    lsh.LshAttention: LshAttention,
    ttt_linear.TttLinear: TttLinear,
    ttt_mlp.TttMlp: TttMlp,
    window.WindowAttention: WindowAttention,
    bigbird.BigBird: BigBird,
    etc.Etc: Etc,
    deltanet.DeltaNet: DeltaNet,
    gated_deltanet.GatedDeltaNet: GatedDeltaNet,
    mingru.MinGru: MinGru,
    rg_lru.RgLru: RgLru,
    minlstm.MinLstm: MinLstm,
    aaren.Aaren: Aaren,
    s4d.S4d: S4d,
    mamba.Mamba: Mamba,
    mamba2.Mamba2: Mamba2,
    linear_attention.LinearAttention: LinearAttention,
    supra.Supra: Supra,
    retnet.RetNet: RetNet,
    gla.Gla: Gla,
    norm.Norm: Norm,
    feed_forward.FeedForward: FeedForward,
    embedding.Embedding: Embedding,
    patches.PatchEmbedding: PatchEmbedding,
    positions.LearnedPositions: LearnedPositions,
    positions.SinusoidalPositions: SinusoidalPositions,
    positions.TokenType: TokenType,
    head.Head: Head,
    head.Pooler: Pooler,
    dit.DiT: DiT,
    classify.ClassHead: ClassHead,
}


def build(config: Component) -> Layer:
    """The layer of a config, with fresh weights, on the current default device and in the default dtype."""
    if isinstance(config, encoder_decoder.EncoderDecoder):
        return EncoderDecoder(config, _chain(config.encoder), _chain(config.decoder))
    if isinstance(config, models.LanguageModel):
        return LanguageModel(config)
    if isinstance(config, classifiers.Classifier):
        return Classifier(config)
    if isinstance(config, vit.ViT):
        return ViT(config, _linked(config.chain))
    if isinstance(config, chain.Assembled):
        return _chain(config.chain, config)
    if isinstance(config, chain.Chain):
        return _chain(config)
    if isinstance(config, chain.Residual):
        return Residual(config, build(config.inner))
    if isinstance(config, reversible.Reversible):
        return Reversible(config, [(build(b.mixer), build(b.feed_forward)) for b in config.blocks * config.times])
    if type(config) not in TWINS:
        raise BadTarget(
            f"{shortened(config)} was given to build; a config is allowed, such as seqcost.configure('lstm', D=64)."
        )
    return TWINS[type(config)](config)


class LanguageModel(Chain):
    """Token ids [B,T] → logits [B,T,U], over any mixer or over several that take turns.

        LanguageModel(mixer="lstm", U=256, D=512, L=6)
        LanguageModel(mixer="lstm lstm attention", D=512, L=6, H=8)

    A size goes to whoever has it: the model or its mixers. See `seqcost.formulas.stacks.language_model`.
    """

    def __init__(
        self, config: models.LanguageModel | None = None, /, *, mixer: str = "attention", **sizes: Any
    ) -> None:
        config = language_model(mixer, **sizes) if config is None else _whole_model(type(self), config, mixer, sizes)
        super().__init__(config, _linked(config.chain))


class Classifier(Chain):
    """Token ids [B,T] → logits [B, classes], over any mixer: `Classifier(mixer="attention", U=256, D=256, classes=2)`.

    `keep` [B,T] is False for padding. See `seqcost.formulas.stacks.classifier`.
    """

    def __init__(
        self, config: classifiers.Classifier | None = None, /, *, mixer: str = "attention", **sizes: Any
    ) -> None:
        config = classifier(mixer, **sizes) if config is None else _whole_model(type(self), config, mixer, sizes)
        super().__init__(config, _linked(config.chain))


def _whole_model(kind: type[Layer], config: Any, mixer: str, sizes: Mapping[str, Any]) -> Any:
    """The config that was given, where it is one of a model made of links and stands alone."""
    name = kind.__name__
    if not isinstance(getattr(config, "chain", None), chain.Chain):
        raise BadSize(
            f"{name}: {shortened(config)} was given; a config of it, or a mixer and sizes by name, are allowed: "
            f"{name}(mixer='lstm', D=64, L=2)."
        )
    if sizes or mixer != "attention":
        others = ", ".join([*(["mixer"] if mixer != "attention" else []), *sizes])
        raise BadSize(f"{name}: a config and {others} were given; give the one or the others.")
    return config


def _chain(links: chain.Chain, config: Component | None = None) -> Chain:
    return Chain(config or links, _linked(links))


def _linked(links: chain.Chain) -> list[tuple[str, Layer]]:
    layers: list[tuple[str, Layer]] = []
    for name, link in links.links:
        if isinstance(link, chain.Repeat):
            copies = [(str(i), build(link.component)) for i in range(link.times)]
            layers.append((name, Chain(chain.Chain(tuple((n, link.component) for n, _ in copies)), copies)))
        else:
            layers.append((name or "inner", build(link)))
    return layers
