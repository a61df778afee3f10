"""Every architecture and preset by name. By appearing here it gets the common suite, a page and the commands.

A row of `MIXERS` is an architecture: it gives the bare layer (`lstm-layer`) and the language model built on it, and its
name can be one of a hybrid's mixers. Presets are published settings.
"""

import dataclasses
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from types import FunctionType
from typing import Any, Literal

from seqcost.errors import BadSize, SeqcostWarning, UnknownName, with_type
from seqcost.formulas.architectures import HEADS, MIXERS, WIDTH, Family, Mixer
from seqcost.formulas.core.component import Component, check_choice, made_of
from seqcost.formulas.mixers.attention import Attention
from seqcost.formulas.mixers.lsh import LshAttention
from seqcost.formulas.mixers.mamba import Mamba
from seqcost.formulas.mixers.retro import ChunkedCrossAttention
from seqcost.formulas.parts.feed_forward import FeedForward
from seqcost.formulas.parts.norm import Norm
from seqcost.formulas.stacks import presets
from seqcost.formulas.stacks.classifier import Classifier
from seqcost.formulas.stacks.dit import DiT
from seqcost.formulas.stacks.encoder_decoder import EncoderDecoder
from seqcost.formulas.stacks.language_model import LanguageModel
from seqcost.formulas.stacks.recurrent import Recurrent
from seqcost.formulas.stacks.transformer import Transformer, TransformerBlock
from seqcost.formulas.stacks.vit import ViT

ENTRY_POINTS = "seqcost.architectures"
Group = Literal["mixer", "part", "block", "model", "preset"]


@dataclass(frozen=True)
class Entry:
    """One name of the catalogue."""

    summary: str
    group: Group
    page: str  # docs/<page>.md
    config: type[Component]
    make: Callable[..., Component]  # sizes → config, defaults filled in
    symbols: str = ""  # letters left open on its formula page
    layer: str = ""  # the entry that its formula page begins with: the layer inside the model
    inner: tuple[type[Component], ...] = ()  # whose sizes may be set too
    several: bool = False  # its mixers are named in a setting; the sizes of any may be set
    family: Family | None = None  # of what mixes its positions

    @property
    def fields(self) -> "dict[str, dataclasses.Field[Any]]":
        """What may be set, by name."""
        mixers = [mixer.config for mixer in MIXERS.values()] if self.several else []
        found = {f.name: f for config in (*mixers, *self.inner, self.config) for f in dataclasses.fields(config)}  # type: ignore[arg-type]
        hidden = ("body",) if self.several else ("body", "mixers")
        return {name: f for name, f in found.items() if name not in hidden}


def _layer(config: type[Component], **defaults: Any) -> Callable[..., Component]:
    return lambda **sizes: made_of(config, defaults | sizes)


def _bare(m: Mixer) -> Entry:
    return Entry(m.summary, "mixer", m.page, m.config, _layer(m.config, **WIDTH | m.sizes), m.symbols, family=m.family)


_LAYERS = {f"{name}-layer": _bare(mixer) for name, mixer in MIXERS.items()}

_PARTS: dict[str, Entry] = {
    "cross-attention-layer": Entry(
        "attention to a second sequence of S tokens",
        "mixer", "mixers/attention", Attention, _layer(Attention, **WIDTH, **HEADS, cross=True, causal=False), "DHGK",
    ),
    "feed-forward": Entry(
        "position-wise network: ReLU, GELU or gated SwiGLU",
        "part", "parts/feed_forward", FeedForward, _layer(FeedForward, D=512, F=2048), "DF",
    ),
    "norm": Entry("LayerNorm or RMSNorm", "part", "parts/norm", Norm, _layer(Norm, D=512), "D"),
    "transformer-block": Entry(
        "attention and feed-forward around residual connections",
        "block", "stacks/transformer", TransformerBlock, _layer(TransformerBlock, **WIDTH, **HEADS), "DH",
    ),
}  # fmt: skip


def language_model(mixers: str, **sizes: Any) -> LanguageModel:
    """The language model over a mixer, or over several that take turns (`"mamba mamba attention"`).

    A size goes to whoever has it: the model, its mixers, or all of them (D).
    """
    names = _named_mixers(mixers)
    given = dict[str, Any](U=presets.BYTES, **WIDTH, L=len(names) * -(-6 // len(names)))
    given |= (MIXERS[names[0]].model or {}) | sizes
    own = {f.name for f in dataclasses.fields(LanguageModel)}
    inner, known = [], set(own)
    for name in names:
        theirs = {f.name for f in dataclasses.fields(MIXERS[name].config)}  # type: ignore[arg-type]
        taken = {letter: value for letter, value in sizes.items() if letter in theirs}
        known |= theirs
        inner.append(MIXERS[name].config(**MIXERS[name].sizes | {"D": given["D"]} | taken))
    if unknown := set(sizes) - known:
        raise UnknownName.among(f"size of a model of {' and '.join(dict.fromkeys(names))}", min(unknown), known)
    return LanguageModel(mixers=tuple(inner), **{letter: value for letter, value in given.items() if letter in own})


def _named_mixers(mixers: str) -> list[str]:
    names = str(mixers).replace(",", " ").split()
    if not names:
        raise BadSize(f"mixers = {mixers!r} was given; one name or several are allowed, such as 'lstm attention'.")
    if any(name not in MIXERS for name in names):
        load_registered()
    if unknown := [name for name in names if name not in MIXERS]:
        raise UnknownName.among("mixer", unknown[0], MIXERS)
    return names


def hybrid(mixers: str = "mamba mamba mamba attention", **sizes: Any) -> LanguageModel:
    """Layers that take turns: attention in every fourth layer of a Mamba, where nothing else is said."""
    return language_model(mixers, **sizes)


def classifier(mixers: str = "attention", **sizes: Any) -> Classifier:
    """A classifier of whole sequences over any mixer, or over several that take turns; those that can see both ways do.

    Attention has sinusoidal positions, which hold at any length; with an M that is given, a learned table of M.
    """
    if "head" in sizes:
        raise BadSize(f"head = {sizes['head']!r} was given; a classifier ends in its classes: set classes and pool.")
    rows = [MIXERS[name] for name in _named_mixers(mixers)]
    theirs = {f.name for row in rows for f in dataclasses.fields(row.config)}  # type: ignore[arg-type]
    own = {name: sizes.pop(name) for name in ("classes", "pool") if name in sizes}
    given = dict[str, Any](D=256, L=len(rows) * -(-4 // len(rows)), F=1024)
    given |= {name: value for name, value in (("H", 4), ("causal", False)) if name in theirs}
    if any(row.family in ("attention", "sparse attention") for row in rows):
        given["positions"] = "sinusoidal"
    given |= (rows[0].model or {}) | ({"positions": "learned"} if "M" in sizes else {})
    body = language_model(mixers, head="none", **given | sizes)
    return Classifier(body=body, **dict[str, Any](classes=2) | own)


def _model(name: str) -> Entry:
    mixer = MIXERS[name]
    letters = "UDL" + "".join(letter for letter in mixer.symbols if letter not in "UDL")
    return Entry(
        f"language model: {mixer.summary}", "model", mixer.page, LanguageModel, partial(language_model, name),
        letters, f"{name}-layer", (mixer.config,), family=mixer.family,
    )  # fmt: skip


_MODELS: dict[str, Entry] = {
    "transformer": Entry(
        "decoder Transformer language model",
        "model", "stacks/transformer", Transformer, presets.transformer, "UDLH", "transformer-block",
        family="attention",
    ),
    "encoder": Entry(
        "bidirectional encoder Transformer",
        "model", "stacks/transformer", Transformer, presets.encoder, "UDLH", "transformer-block",
    ),
    "encoder-decoder": Entry(
        "Transformer with encoder, decoder and cross-attention",
        "model", "stacks/encoder_decoder", EncoderDecoder, presets.encoder_decoder, "UDLH", "transformer-block",
    ),
    "rnn": Entry(
        "Elman language model",
        "model", "mixers/rnn", Recurrent, presets.rnn, "UDL", "rnn-layer", family="recurrence, by a loop",
    ),
    "lstm": Entry(
        "LSTM language model",
        "model", "mixers/lstm", Recurrent, presets.lstm, "UDL", "lstm-layer", family="recurrence, by a loop",
    ),
    "gru": Entry(
        "GRU language model",
        "model", "mixers/gru", Recurrent, presets.gru, "UDL", "gru-layer", family="recurrence, by a loop",
    ),
    "retro": Entry(
        "language model with retrieval: attention and chunked cross-attention in turn",
        "model", "mixers/retro", LanguageModel, partial(language_model, "attention retro"), "UDLHCJR", "retro-layer",
        (Attention, ChunkedCrossAttention), family="attention",
    ),
    "vit": Entry(
        "Vision Transformer: an image as a sequence of patches, T of them",
        "model", "stacks/vit", ViT, presets.vit_base_16, "DLH", "transformer-block",
    ),
    "dit": Entry(
        "Diffusion Transformer: patches of a latent, blocks modulated by time and label",
        "model", "stacks/dit", DiT, presets.dit_xl_2, "DLH",
    ),
    "classifier": Entry(
        "classifier of whole sequences: layers (mixers='mamba'), mean over the tokens, classes",
        "model", "stacks/classifier", Classifier, classifier, "UDLH",
        inner=(LanguageModel,), several=True,
    ),
    "reformer": Entry(
        "Reformer: LSH attention in reversible layers",
        "model", "mixers/lsh", LanguageModel, partial(language_model, "lsh", reversible=True, tied=False),
        "UDLHREC", "lsh-layer", (LshAttention,), family="sparse attention",
    ),
    "hybrid": Entry(
        "language model whose layers take turns: mixers='mamba mamba mamba attention'",
        "model", "stacks/language_model", LanguageModel, hybrid, "UD",
        several=True,
    ),
    **{name: _model(name) for name, mixer in MIXERS.items() if mixer.model is not None},
}  # fmt: skip

_PRESETS: dict[str, Entry] = {
    "bert-base": Entry("BERT base with pooler, 109 M", "preset", "stacks/presets", Transformer, presets.bert_base),
    "bert-large": Entry("BERT large with pooler, 335 M", "preset", "stacks/presets", Transformer, presets.bert_large),
    "gpt2": Entry("GPT-2, 124 M", "preset", "stacks/presets", Transformer, presets.gpt2),
    "gpt2-medium": Entry("GPT-2 medium, 355 M", "preset", "stacks/presets", Transformer, presets.gpt2_medium),
    "gpt2-large": Entry("GPT-2 large, 774 M", "preset", "stacks/presets", Transformer, presets.gpt2_large),
    "gpt2-xl": Entry("GPT-2 XL, 1.56 B", "preset", "stacks/presets", Transformer, presets.gpt2_xl),
    "gpt3-175b": Entry("GPT-3, 175 B", "preset", "stacks/presets", Transformer, presets.gpt3_175b),
    "llama-2-7b": Entry("Llama 2, 6.7 B", "preset", "stacks/presets", Transformer, presets.llama_2_7b),
    "llama-3-8b": Entry("Llama 3, 8.0 B", "preset", "stacks/presets", Transformer, presets.llama_3_8b),
    "llama-3-70b": Entry("Llama 3, 70.6 B", "preset", "stacks/presets", Transformer, presets.llama_3_70b),
    "llama-3.1-405b": Entry("Llama 3.1, 405.9 B", "preset", "stacks/presets", Transformer, presets.llama_3_1_405b),
    "mistral-7b": Entry("Mistral 0.2, 7.2 B", "preset", "stacks/presets", Transformer, presets.mistral_7b),
    "mamba-130m": Entry("Mamba, 129 M", "preset", "stacks/presets", LanguageModel, presets.mamba_130m, inner=(Mamba,)),
    "mamba-370m": Entry("Mamba, 372 M", "preset", "stacks/presets", LanguageModel, presets.mamba_370m, inner=(Mamba,)),
    "mamba-790m": Entry("Mamba, 793 M", "preset", "stacks/presets", LanguageModel, presets.mamba_790m, inner=(Mamba,)),
    "mamba-1.4b": Entry("Mamba, 1.37 B", "preset", "stacks/presets", LanguageModel, presets.mamba_1_4b, inner=(Mamba,)),
    "mamba-2.8b": Entry("Mamba, 2.77 B", "preset", "stacks/presets", LanguageModel, presets.mamba_2_8b, inner=(Mamba,)),
    "transformer-base": Entry(
        "Vaswani et al. 2017, base", "preset", "stacks/presets", EncoderDecoder, presets.transformer_base
    ),
    "transformer-big": Entry(
        "Vaswani et al. 2017, big", "preset", "stacks/presets", EncoderDecoder, presets.transformer_big
    ),
    "vit-base-16": Entry("ViT-B/16, 87 M", "preset", "stacks/vit", ViT, presets.vit_base_16),
    "vit-large-16": Entry("ViT-L/16, 304 M", "preset", "stacks/vit", ViT, presets.vit_large_16),
    "vit-huge-14": Entry("ViT-H/14, 632 M", "preset", "stacks/vit", ViT, presets.vit_huge_14),
    "dit-xl-2": Entry("DiT-XL/2, 675 M", "preset", "stacks/dit", DiT, presets.dit_xl_2),
}  # fmt: skip

CATALOGUE: dict[str, Entry] = _LAYERS | _PARTS | _MODELS | _PRESETS


def enter(name: str, mixer: Mixer) -> None:
    """Another architecture, or the same once more: its layer, and its language model."""
    MIXERS[name] = mixer
    CATALOGUE[f"{name}-layer"], CATALOGUE[name] = _bare(mixer), _model(name)


@cache
def load_registered() -> None:
    """What installed packages bring: each entry point of `ENTRY_POINTS` is imported, and called if it is a function.

    It is looked for where a name is unknown or all names are listed, so that nothing else waits for it.
    """
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS):
        try:
            found = point.load()
            if isinstance(found, FunctionType):
                found()
        except Exception as error:  # noqa: BLE001  # another package's code may raise anything
            warnings.warn(SeqcostWarning(f"the entry point {point.name} failed: {with_type(error)}."), stacklevel=2)


def language_models() -> list[str]:
    """One name per architecture, those of attention first: what is compared when everything is."""
    load_registered()
    return [name for name, found in CATALOGUE.items() if found.group == "model" and found.family is not None]


def entry(name: str) -> Entry:
    """Look a name up; an unknown one names its near misses."""
    if isinstance(name, str) and name not in CATALOGUE:
        load_registered()
    if not isinstance(name, str) or name not in CATALOGUE:
        raise UnknownName.among("architecture or preset", name, CATALOGUE)
    return CATALOGUE[name]


def configure(name: str, **sizes: Any) -> Component:
    """Config of an architecture or preset with some of its sizes overridden.

    Raises UnknownName for a name or a size that does not exist, BadSize for a value that is not allowed.

    >>> configure("gpt2", L=2).params().total()
    53561088
    """
    found = entry(name)
    fields = found.fields
    for size, value in sizes.items():
        if size not in fields:
            raise UnknownName.among(f"size of {name}", size, fields)
        check_choice(name, size, value, fields[size].type)
    return found.make(**sizes)
