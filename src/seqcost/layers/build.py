"""From a config to its working layer: the one place that knows which class is whose twin. Whole models by name."""

from typing import Any

from seqcost.formulas.catalogue import classifier, language_model
from seqcost.formulas.mixers import attention, gru, lstm, mamba, mamba2, rnn
from seqcost.formulas.parts import classify, embedding, feed_forward, head, norm, positions
from seqcost.formulas.parts.component import Component
from seqcost.formulas.stacks import chain, encoder_decoder
from seqcost.formulas.stacks import classifier as classifiers
from seqcost.formulas.stacks import language_model as models
from seqcost.layers.mixers.attention import Attention
from seqcost.layers.mixers.gru import Gru
from seqcost.layers.mixers.lstm import Lstm
from seqcost.layers.mixers.mamba import Mamba
from seqcost.layers.mixers.mamba2 import Mamba2
from seqcost.layers.mixers.rnn import Rnn
from seqcost.layers.parts.classify import ClassHead
from seqcost.layers.parts.embedding import Embedding
from seqcost.layers.parts.feed_forward import FeedForward
from seqcost.layers.parts.head import Head, Pooler
from seqcost.layers.parts.layer import Layer
from seqcost.layers.parts.norm import Norm
from seqcost.layers.parts.positions import LearnedPositions, SinusoidalPositions, TokenType
from seqcost.layers.stacks.chain import Chain, Residual
from seqcost.layers.stacks.encoder_decoder import EncoderDecoder

TWINS: dict[type[Component], type[Any]] = {
    attention.Attention: Attention,
    rnn.Rnn: Rnn,
    lstm.Lstm: Lstm,
    gru.Gru: Gru,
    mamba.Mamba: Mamba,
    mamba2.Mamba2: Mamba2,
    norm.Norm: Norm,
    feed_forward.FeedForward: FeedForward,
    embedding.Embedding: Embedding,
    positions.LearnedPositions: LearnedPositions,
    positions.SinusoidalPositions: SinusoidalPositions,
    positions.TokenType: TokenType,
    head.Head: Head,
    head.Pooler: Pooler,
    classify.ClassHead: ClassHead,
}


def build(config: Component) -> Layer:
    """The layer of a config, with fresh weights, on the current default device and in the default dtype."""
    if isinstance(config, encoder_decoder.EncoderDecoder):
        encoder, decoder = _chain(config.encoder), _chain(config.decoder)
        encoder.get_submodule("embedding").weight = _table(decoder)
        return EncoderDecoder(config, encoder, decoder)
    if isinstance(config, models.LanguageModel):
        return LanguageModel(config)
    if isinstance(config, classifiers.Classifier):
        return Classifier(config)
    if isinstance(config, chain.Assembled):
        return _chain(config.chain, config)
    if isinstance(config, chain.Chain):
        return _chain(config)
    if isinstance(config, chain.Residual):
        return Residual(config, build(config.inner))
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
        config = language_model(mixer, **sizes) if config is None else config
        super().__init__(config, _linked(config.chain))
        _tie(self)


class Classifier(Chain):
    """Token ids [B,T] → logits [B, classes], over any mixer: `Classifier(mixer="attention", U=256, D=256, classes=2)`.

    `keep` [B,T] is False for padding. See `seqcost.formulas.stacks.classifier`.
    """

    def __init__(
        self, config: classifiers.Classifier | None = None, /, *, mixer: str = "attention", **sizes: Any
    ) -> None:
        config = classifier(mixer, **sizes) if config is None else config
        super().__init__(config, _linked(config.chain))


def _chain(links: chain.Chain, config: Component | None = None) -> Chain:
    out = Chain(config or links, _linked(links))
    _tie(out)
    return out


def _linked(links: chain.Chain) -> list[tuple[str, Layer]]:
    layers: list[tuple[str, Layer]] = []
    for name, link in links.links:
        if isinstance(link, chain.Repeat):
            copies = [(str(i), build(link.component)) for i in range(link.times)]
            layers.append((name, Chain(chain.Chain(tuple((n, link.component) for n, _ in copies)), copies)))
        else:
            layers.append((name or "inner", build(link)))
    return layers


def _tie(model: Chain) -> None:
    for layer in model.links:
        if isinstance(layer, Head) and layer.config.tied:
            layer.tie(_table(model))


def _table(model: Chain) -> Any:
    """The embedding's table [U,D]."""
    return model.get_submodule("embedding").weight
