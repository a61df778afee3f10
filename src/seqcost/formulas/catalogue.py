"""Every architecture by name: one literal dict. By appearing here it gets the common suite, a page and the commands.

`lstm-layer` is the bare mixer, `lstm` the language model built on it; presets are published settings.
"""

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from seqcost.errors import UnknownName
from seqcost.formulas.mixers.attention import Attention
from seqcost.formulas.mixers.gru import Gru
from seqcost.formulas.mixers.lstm import Lstm
from seqcost.formulas.mixers.rnn import Rnn
from seqcost.formulas.parts.component import Component, check_choice
from seqcost.formulas.parts.feed_forward import FeedForward
from seqcost.formulas.parts.norm import Norm
from seqcost.formulas.stacks import presets
from seqcost.formulas.stacks.encoder_decoder import EncoderDecoder
from seqcost.formulas.stacks.recurrent import Recurrent
from seqcost.formulas.stacks.transformer import Transformer, TransformerBlock

Group = Literal["mixer", "part", "block", "model", "preset"]


@dataclass(frozen=True)
class Entry:
    """One name of the catalogue."""

    summary: str
    group: Group
    page: str  # docs/<page>.md
    config: type[Component]  # whose fields may be set
    make: Callable[..., Component]  # sizes → config, defaults filled in
    symbols: str = ""  # letters left open on its formula page
    layer: str = ""  # the entry that its formula page begins with: the layer inside the model


def _layer(config: type[Component], **defaults: Any) -> Callable[..., Component]:
    return lambda **sizes: config(**defaults | sizes)


_ATTENTION = {"D": 512, "H": 8}
_CELL = {"D": 512}

CATALOGUE: dict[str, Entry] = {
    # mixers
    "attention-layer": Entry(
        "multi-head self-attention; grouped-query with G < H, multi-query with G = 1",
        "mixer", "mixers/attention", Attention, _layer(Attention, **_ATTENTION), "DHGK",
    ),
    "cross-attention-layer": Entry(
        "attention to a second sequence of S tokens",
        "mixer", "mixers/attention", Attention, _layer(Attention, **_ATTENTION, cross=True, causal=False), "DHGK",
    ),
    "rnn-layer": Entry("Elman's recurrent layer (tanh)", "mixer", "mixers/rnn", Rnn, _layer(Rnn, **_CELL), "DN"),
    "lstm-layer": Entry("long short-term memory layer", "mixer", "mixers/lstm", Lstm, _layer(Lstm, **_CELL), "DN"),
    "gru-layer": Entry("gated recurrent unit layer", "mixer", "mixers/gru", Gru, _layer(Gru, **_CELL), "DN"),
    # parts
    "feed-forward": Entry(
        "position-wise network: ReLU, GELU or gated SwiGLU",
        "part", "parts/feed_forward", FeedForward, _layer(FeedForward, D=512, F=2048), "DF",
    ),
    "norm": Entry("LayerNorm or RMSNorm", "part", "parts/norm", Norm, _layer(Norm, D=512), "D"),
    "transformer-block": Entry(
        "attention and feed-forward around residual connections",
        "block", "stacks/transformer", TransformerBlock, _layer(TransformerBlock, **_ATTENTION), "DH",
    ),
    # models
    "transformer": Entry(
        "decoder Transformer language model",
        "model", "stacks/transformer", Transformer, presets.transformer, "UDLH", "transformer-block",
    ),
    "encoder": Entry(
        "bidirectional encoder Transformer",
        "model", "stacks/transformer", Transformer, presets.encoder, "UDLH", "transformer-block",
    ),
    "encoder-decoder": Entry(
        "Transformer with encoder, decoder and cross-attention",
        "model", "stacks/encoder_decoder", EncoderDecoder, presets.encoder_decoder, "UDLH", "transformer-block",
    ),
    "rnn": Entry("Elman language model", "model", "mixers/rnn", Recurrent, presets.rnn, "UDL", "rnn-layer"),
    "lstm": Entry("LSTM language model", "model", "mixers/lstm", Recurrent, presets.lstm, "UDL", "lstm-layer"),
    "gru": Entry("GRU language model", "model", "mixers/gru", Recurrent, presets.gru, "UDL", "gru-layer"),
    # presets
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
    "transformer-base": Entry(
        "Vaswani et al. 2017, base", "preset", "stacks/presets", EncoderDecoder, presets.transformer_base
    ),
    "transformer-big": Entry(
        "Vaswani et al. 2017, big", "preset", "stacks/presets", EncoderDecoder, presets.transformer_big
    ),
}  # fmt: skip


def entry(name: str) -> Entry:
    """Look a name up; an unknown one names its near misses."""
    if name not in CATALOGUE:
        raise UnknownName.among("architecture or preset", name, CATALOGUE)
    return CATALOGUE[name]


def configure(name: str, **sizes: Any) -> Component:
    """Config of an architecture or preset with some of its sizes overridden.

    Raises UnknownName for a name or a size that does not exist, BadSize for a value that is not allowed.
    """
    found = entry(name)
    fields = {field.name: field for field in dataclasses.fields(found.config)}  # type: ignore[arg-type]
    for size, value in sizes.items():
        if size not in fields:
            raise UnknownName.among(f"size of {name}", size, fields)
        check_choice(name, size, value, fields[size].type)
    return found.make(**sizes)


def summary_line(config: Component) -> str:
    """First line of a config's docstring."""
    return (inspect.getdoc(type(config)) or "").partition("\n")[0]
