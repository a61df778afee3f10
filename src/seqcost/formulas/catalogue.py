"""Every architecture and preset by name. By appearing here it gets the common suite, a page and the commands.

A row of `MIXERS` is an architecture: it gives the bare layer (`lstm-layer`) and the language model built on it, and its
name can be one of a hybrid's mixers. Presets are published settings.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from seqcost.errors import BadSize, UnknownName
from seqcost.formulas.core.component import Component, check_choice, made_of
from seqcost.formulas.mixers.aaren import Aaren
from seqcost.formulas.mixers.attention import Attention
from seqcost.formulas.mixers.bigbird import BigBird
from seqcost.formulas.mixers.conv import Conv
from seqcost.formulas.mixers.deltanet import DeltaNet
from seqcost.formulas.mixers.etc import Etc
from seqcost.formulas.mixers.gated_deltanet import GatedDeltaNet
from seqcost.formulas.mixers.gla import Gla
from seqcost.formulas.mixers.gru import Gru
from seqcost.formulas.mixers.linear_attention import LinearAttention
from seqcost.formulas.mixers.lsh import LshAttention
from seqcost.formulas.mixers.lstm import Lstm
from seqcost.formulas.mixers.mamba import Mamba
from seqcost.formulas.mixers.mamba2 import Mamba2
from seqcost.formulas.mixers.mingru import MinGru
from seqcost.formulas.mixers.minlstm import MinLstm
from seqcost.formulas.mixers.retnet import RetNet
from seqcost.formulas.mixers.retro import ChunkedCrossAttention
from seqcost.formulas.mixers.rg_lru import RgLru
from seqcost.formulas.mixers.rnn import Rnn
from seqcost.formulas.mixers.s4d import S4d
from seqcost.formulas.mixers.supra import Supra
from seqcost.formulas.mixers.ttt_linear import TttLinear
from seqcost.formulas.mixers.ttt_mlp import TttMlp
from seqcost.formulas.mixers.window import WindowAttention
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

Group = Literal["mixer", "part", "block", "model", "preset"]
Family = Literal[
    "attention",
    "sparse attention",
    "recurrence, by a loop",
    "recurrence, by a scan",
    "state space",
    "linear attention",
    "test-time learning",
    "convolution",
]


@dataclass(frozen=True)
class Mixer:
    """An architecture: what a layer does between the positions."""

    summary: str
    page: str  # docs/<page>.md
    family: Family
    config: type[Component]
    symbols: str  # letters left open on its formula page
    sizes: dict[str, Any] = field(default_factory=dict)  # where they differ from D = 512
    model: dict[str, Any] | None = field(default_factory=dict)  # of its language model; None: it has one of its own


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
    several: bool = False  # its mixers are named in a setting
    family: Family | None = None  # of what mixes its positions

    @property
    def fields(self) -> "dict[str, dataclasses.Field[Any]]":
        """What may be set, by name."""
        found = {f.name: f for config in (*self.inner, self.config) for f in dataclasses.fields(config)}  # type: ignore[arg-type]
        hidden = ("body",) if self.several else ("body", "mixers")
        return {name: f for name, f in found.items() if name not in hidden}


def _layer(config: type[Component], **defaults: Any) -> Callable[..., Component]:
    return lambda **sizes: made_of(config, defaults | sizes)


_WIDTH = {"D": 512}
_HEADS = {"H": 8}

MIXERS: dict[str, Mixer] = {
    "attention": Mixer(
        "multi-head self-attention; grouped-query with G < H, multi-query with G = 1",
        "mixers/attention", "attention", Attention, "DHGK", _HEADS, None,
    ),
    "window": Mixer(
        "sliding-window attention: causal (Mistral) or symmetric (Longformer), dilated or not",
        "mixers/window", "sparse attention", WindowAttention, "DHGKW", _HEADS | {"W": 256}, {"positions": "sinusoidal"},
    ),
    "bigbird": Mixer(
        "BigBird: attention to global, neighbouring and random blocks; sees both ways",
        "mixers/bigbird", "sparse attention", BigBird, "DHKCR", _HEADS, {"positions": "sinusoidal"},
    ),
    "etc": Mixer(
        "ETC: long tokens see their neighbours, global tokens everything; sees both ways",
        "mixers/etc", "sparse attention", Etc, "DHKWNR", _HEADS | {"W": 169, "N": 64},
    ),
    "conv": Mixer(
        "1-D convolution: causal or centred, dilated, full, depthwise or separable",
        "mixers/conv", "convolution", Conv, "DW",
    ),
    "rnn": Mixer("Elman's recurrent layer (tanh)", "mixers/rnn", "recurrence, by a loop", Rnn, "DN", model=None),
    "lstm": Mixer("long short-term memory layer", "mixers/lstm", "recurrence, by a loop", Lstm, "DN", model=None),
    "gru": Mixer("gated recurrent unit layer", "mixers/gru", "recurrence, by a loop", Gru, "DN", model=None),
    "lsh": Mixer(
        "LSH attention: hashing finds the keys that a query attends to",
        "mixers/lsh", "sparse attention", LshAttention, "DHREC", _HEADS, {"positions": "sinusoidal"},
    ),
    "ttt-linear": Mixer(
        "test-time training: a linear model per head learns while it reads",
        "mixers/ttt_linear", "test-time learning", TttLinear, "DHKC", _HEADS,
    ),
    "ttt-mlp": Mixer(
        "test-time training: a two-layer network per head learns while it reads",
        "mixers/ttt_mlp", "test-time learning", TttMlp, "DHKNC", _HEADS,
    ),
    "deltanet": Mixer(
        "linear attention whose state is corrected by the delta rule",
        "mixers/deltanet", "test-time learning", DeltaNet, "DHC", _HEADS,
    ),
    "gated-deltanet": Mixer(
        "delta rule on a state that decays, output gated",
        "mixers/gated_deltanet", "test-time learning", GatedDeltaNet, "DHC", _HEADS,
    ),
    "mingru": Mixer(
        "minimal gated recurrent unit: a gate of the input alone, by a scan",
        "mixers/mingru", "recurrence, by a scan", MinGru, "D",
    ),
    "rg-lru": Mixer(
        "real-gated linear recurrent unit (Griffin), by a scan",
        "mixers/rg_lru", "recurrence, by a scan", RgLru, "D",
    ),
    "minlstm": Mixer(
        "minimal LSTM: gates of the input alone, by a scan",
        "mixers/minlstm", "recurrence, by a scan", MinLstm, "D",
    ),
    "aaren": Mixer(
        "attention of one learned query, by a scan",
        "mixers/aaren", "recurrence, by a scan", Aaren, "DHK", _HEADS,
    ),
    "s4d": Mixer("diagonal state space model (S4D), by FFT", "mixers/s4d", "state space", S4d, "DN", model={"F": 0}),
    "mamba": Mixer(
        "selective state space (S6): every feature has N numbers that decay at rates of their own",
        "mixers/mamba", "state space", Mamba, "DENRC", model={"F": 0},
    ),
    "mamba2": Mixer(
        "selective state space with one decay a head, in matrix products (SSD)",
        "mixers/mamba2", "state space", Mamba2, "DHGNC", {"H": 16}, {"F": 0},
    ),
    "linear-attention": Mixer(
        "linear attention by feature maps, the Performer's too; causal in three forms, or bidirectional",
        "mixers/linear_attention", "linear attention", LinearAttention, "DHC", _HEADS, {"positions": "sinusoidal"},
    ),
    "supra": Mixer(
        "attention linearised after pretraining (SUPRA)",
        "mixers/supra", "linear attention", Supra, "DHC", _HEADS,
    ),
    "retnet": Mixer("retention with fixed decays", "mixers/retnet", "linear attention", RetNet, "DHC", {"H": 2}),
    "gla": Mixer(
        "gated linear attention, a gate a key feature",
        "mixers/gla", "linear attention", Gla, "DHCJ", {"H": 4},
    ),
    "retro": Mixer(
        "RETRO's cross-attention of each chunk to its retrieved neighbours",
        "mixers/retro", "attention", ChunkedCrossAttention, "DHKCJR", _HEADS, None,
    ),
}  # fmt: skip

_LAYERS = {
    f"{name}-layer": Entry(
        m.summary, "mixer", m.page, m.config, _layer(m.config, **_WIDTH | m.sizes), m.symbols, family=m.family
    )
    for name, m in MIXERS.items()
}

_PARTS: dict[str, Entry] = {
    "cross-attention-layer": Entry(
        "attention to a second sequence of S tokens",
        "mixer", "mixers/attention", Attention, _layer(Attention, **_WIDTH, **_HEADS, cross=True, causal=False), "DHGK",
    ),
    "feed-forward": Entry(
        "position-wise network: ReLU, GELU or gated SwiGLU",
        "part", "parts/feed_forward", FeedForward, _layer(FeedForward, D=512, F=2048), "DF",
    ),
    "norm": Entry("LayerNorm or RMSNorm", "part", "parts/norm", Norm, _layer(Norm, D=512), "D"),
    "transformer-block": Entry(
        "attention and feed-forward around residual connections",
        "block", "stacks/transformer", TransformerBlock, _layer(TransformerBlock, **_WIDTH, **_HEADS), "DH",
    ),
}  # fmt: skip


def language_model(mixers: str, **sizes: Any) -> LanguageModel:
    """The language model over a mixer, or over several that take turns (`"mamba mamba attention"`).

    A size goes to whoever has it: the model, its mixers, or all of them (D).
    """
    names = _named_mixers(mixers)
    given = dict[str, Any](U=presets.BYTES, **_WIDTH, L=len(names) * -(-6 // len(names)))
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
        inner=(*(mixer.config for mixer in MIXERS.values()), LanguageModel), several=True,
    ),
    "reformer": Entry(
        "Reformer: LSH attention in reversible layers",
        "model", "mixers/lsh", LanguageModel, partial(language_model, "lsh", reversible=True, tied=False),
        "UDLHREC", "lsh-layer", (LshAttention,), family="sparse attention",
    ),
    "hybrid": Entry(
        "language model whose layers take turns: mixers='mamba mamba mamba attention'",
        "model", "stacks/language_model", LanguageModel, hybrid, "UD",
        inner=tuple(mixer.config for mixer in MIXERS.values()), several=True,
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


def language_models() -> list[str]:
    """One name an architecture, those of attention first: what is compared when everything is."""
    return [name for name, found in CATALOGUE.items() if found.group == "model" and found.family is not None]


def entry(name: str) -> Entry:
    """Look a name up; an unknown one names its near misses."""
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
