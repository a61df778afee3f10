"""Every architecture, one row each: the one place outside its own files that names it.

By its row it gets the bare layer (`lstm-layer`), the language model built on it, a place in hybrids and classifiers,
the commands and the common suite. Its layer is the one of the same file name in `layers/mixers`. Architectures of other
packages join by `seqcost.register`, themselves or through an entry point: see registration.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from seqcost.formulas.core.component import Component
from seqcost.formulas.mixers.aaren import Aaren
from seqcost.formulas.mixers.aft import Aft
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
    layer: Any = None  # of another package: its class, or where it lies ("package.module:Class")


WIDTH = {"D": 512}
HEADS = {"H": 8}

MIXERS: dict[str, Mixer] = {
    "attention": Mixer(
        "multi-head self-attention; grouped-query with G < H, multi-query with G = 1",
        "mixers/attention", "attention", Attention, "DHGK", HEADS, None,
    ),
    "window": Mixer(
        "sliding-window attention: causal (Mistral) or symmetric (Longformer), dilated or not",
        "mixers/window", "sparse attention", WindowAttention, "DHGKW", HEADS | {"W": 256}, {"positions": "sinusoidal"},
    ),
    "bigbird": Mixer(
        "BigBird: attention to global, neighbouring and random blocks; sees both ways",
        "mixers/bigbird", "sparse attention", BigBird, "DHKCR", HEADS, {"positions": "sinusoidal"},
    ),
    "etc": Mixer(
        "ETC: long tokens see their neighbours, global tokens everything; sees both ways",
        "mixers/etc", "sparse attention", Etc, "DHKWNR", HEADS | {"W": 169, "N": 64},
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
        "mixers/lsh", "sparse attention", LshAttention, "DHREC", HEADS, {"positions": "sinusoidal"},
    ),
    "ttt-linear": Mixer(
        "test-time training: a linear model per head learns while it reads",
        "mixers/ttt_linear", "test-time learning", TttLinear, "DHKC", HEADS,
    ),
    "ttt-mlp": Mixer(
        "test-time training: a two-layer network per head learns while it reads",
        "mixers/ttt_mlp", "test-time learning", TttMlp, "DHKNC", HEADS,
    ),
    "deltanet": Mixer(
        "linear attention whose state is corrected by the delta rule",
        "mixers/deltanet", "test-time learning", DeltaNet, "DHC", HEADS,
    ),
    "gated-deltanet": Mixer(
        "delta rule on a state that decays, output gated",
        "mixers/gated_deltanet", "test-time learning", GatedDeltaNet, "DHC", HEADS,
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
        "mixers/aaren", "recurrence, by a scan", Aaren, "DHK", HEADS,
    ),
    "s4d": Mixer("diagonal state space model (S4D), by FFT", "mixers/s4d", "state space", S4d, "DN", model={"F": 0}),
    "mamba": Mixer(
        "selective state space (S6): every feature has N numbers that decay at rates of their own",
        "mixers/mamba", "state space", Mamba, "DENRC", model={"F": 0},
    ),
    "mamba2": Mixer(
        "selective state space with one decay per head, in matrix products (SSD)",
        "mixers/mamba2", "state space", Mamba2, "DHGNC", {"H": 16}, {"F": 0},
    ),
    "linear-attention": Mixer(
        "linear attention by feature maps, the Performer's too; causal in three forms, or bidirectional",
        "mixers/linear_attention", "linear attention", LinearAttention, "DHC", HEADS, {"positions": "sinusoidal"},
    ),
    "supra": Mixer(
        "attention linearised after pretraining (SUPRA)",
        "mixers/supra", "linear attention", Supra, "DHC", HEADS,
    ),
    "retnet": Mixer("retention with fixed decays", "mixers/retnet", "linear attention", RetNet, "DHC", {"H": 2}),
    "gla": Mixer(
        "gated linear attention, one gate per key feature",
        "mixers/gla", "linear attention", Gla, "DHCJ", {"H": 4},
    ),
    "retro": Mixer(
        "RETRO's cross-attention of each chunk to its retrieved neighbours",
        "mixers/retro", "attention", ChunkedCrossAttention, "DHKCJR", HEADS, None,
    ),
    "aft": Mixer(
        "attention-free Transformer (AFT-simple): a softmax over the prefix for each feature, by a scan",
        "mixers/aft", "recurrence, by a scan", Aft, "D",
    ),
}  # fmt: skip
