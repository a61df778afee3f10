"""From a config to its working layer, and whole models by name.

A layer names its config (`Layer.Config`), and so is found: every class in the files of `mixers` and `parts` that names
one is the twin of it; of other packages' architectures `seqcost.register` says where the layer lies.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules
from typing import Any

from seqcost.errors import BadSize, BadTarget, shortened
from seqcost.formulas.architectures import MIXERS
from seqcost.formulas.catalogue import classifier, language_model
from seqcost.formulas.core.component import Component
from seqcost.formulas.stacks import chain, encoder_decoder, reversible, vit
from seqcost.formulas.stacks import classifier as classifiers
from seqcost.formulas.stacks import language_model as models
from seqcost.layers import mixers, parts
from seqcost.layers.core.layer import Layer
from seqcost.layers.stacks.chain import Chain, Residual
from seqcost.layers.stacks.dit import DiT
from seqcost.layers.stacks.encoder_decoder import EncoderDecoder
from seqcost.layers.stacks.reversible import Reversible
from seqcost.layers.stacks.vit import ViT


def _that_name_a_config(*rooms: Any) -> Iterator[type[Layer]]:
    for room in rooms:
        for found in iter_modules(room.__path__, f"{room.__name__}."):
            module = import_module(found.name)
            for kind in vars(module).values():
                ours = isinstance(kind, type) and issubclass(kind, Layer) and kind.__module__ == module.__name__
                if ours and "Config" in vars(kind) and not isabstract(kind):
                    yield kind


TWINS: dict[type[Component], type[Any]] = {kind.Config: kind for kind in _that_name_a_config(mixers, parts)}
TWINS[DiT.Config] = DiT


def twin_of(config: type[Component]) -> type[Any] | None:
    """The class of the layer of a config; None where there is none.

    Raises BadTarget where a registered layer is not where it was said to lie, or names another config.
    """
    if config in TWINS:
        return TWINS[config]
    for name, mixer in MIXERS.items():
        if mixer.config is config and mixer.layer is not None:
            layer = _at(mixer.layer, name) if isinstance(mixer.layer, str) else mixer.layer
            if not issubclass(layer, Layer) or layer.Config is not config:
                raise BadTarget(f"the layer of {name} is {layer.__name__}, which has another Config or none; set it.")
            return layer
    return None


def _at(place: str, name: str) -> Any:
    module, _, path = place.partition(":")
    try:
        found: Any = import_module(module)
        for word in path.split("."):
            found = getattr(found, word)
    except (ImportError, AttributeError) as error:
        raise BadTarget(f"the layer of {name} is said to lie in {place}: {error}; register where it does.") from error
    return found


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
    twin = twin_of(type(config))
    if twin is None:
        raise BadTarget(
            f"{shortened(config)} was given to build; a config is allowed, such as seqcost.configure('lstm', D=64)."
        )
    layer: Layer = twin(config)
    return layer


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
