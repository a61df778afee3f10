"""The working layers beside the formulas: a library of its own.

    from seqcost.layers import Lstm
    layer = Lstm(D=64, N=128)
    y_BTN = layer(x_BTD)

Every layer keeps one contract (`Layer`): the whole sequence, any further tokens with a carried state, one token,
and a readable reference. `build(config)` makes the layer of any config of `seqcost.formulas`. Importing them without
PyTorch raises MissingExtra.
"""

from typing import TYPE_CHECKING, Any

from seqcost.extras import need as _need

_need("torch", "the layers need")

from seqcost.layers.build import TWINS as _TWINS
from seqcost.layers.build import Classifier as Classifier
from seqcost.layers.build import LanguageModel as LanguageModel
from seqcost.layers.build import build as build
from seqcost.layers.core.layer import Layer as Layer
from seqcost.layers.core.state import State as State
from seqcost.layers.ops.kernels import kernels as kernels
from seqcost.layers.ops.kernels import use_kernels as use_kernels
from seqcost.layers.parts.classify import ClassHead as ClassHead
from seqcost.layers.parts.embedding import Embedding as Embedding
from seqcost.layers.parts.feed_forward import FeedForward as FeedForward
from seqcost.layers.parts.head import Head as Head
from seqcost.layers.parts.norm import Norm as Norm
from seqcost.layers.parts.positions import LearnedPositions as LearnedPositions
from seqcost.layers.parts.positions import SinusoidalPositions as SinusoidalPositions
from seqcost.layers.stacks.reversible import Reversible as Reversible

if TYPE_CHECKING:  # for editors and type checkers, which run nothing; what has no line here is Any to them
    from seqcost.layers.mixers.aaren import Aaren as Aaren
    from seqcost.layers.mixers.attention import Attention as Attention
    from seqcost.layers.mixers.bigbird import BigBird as BigBird
    from seqcost.layers.mixers.conv import Conv as Conv
    from seqcost.layers.mixers.deltanet import DeltaNet as DeltaNet
    from seqcost.layers.mixers.etc import Etc as Etc
    from seqcost.layers.mixers.gated_deltanet import GatedDeltaNet as GatedDeltaNet
    from seqcost.layers.mixers.gla import Gla as Gla
    from seqcost.layers.mixers.gru import Gru as Gru
    from seqcost.layers.mixers.linear_attention import LinearAttention as LinearAttention
    from seqcost.layers.mixers.lsh import LshAttention as LshAttention
    from seqcost.layers.mixers.lstm import Lstm as Lstm
    from seqcost.layers.mixers.mamba import Mamba as Mamba
    from seqcost.layers.mixers.mamba2 import Mamba2 as Mamba2
    from seqcost.layers.mixers.mingru import MinGru as MinGru
    from seqcost.layers.mixers.minlstm import MinLstm as MinLstm
    from seqcost.layers.mixers.retnet import RetNet as RetNet
    from seqcost.layers.mixers.retro import ChunkedCrossAttention as ChunkedCrossAttention
    from seqcost.layers.mixers.rg_lru import RgLru as RgLru
    from seqcost.layers.mixers.rnn import Rnn as Rnn
    from seqcost.layers.mixers.s4d import S4d as S4d
    from seqcost.layers.mixers.supra import Supra as Supra
    from seqcost.layers.mixers.ttt_linear import TttLinear as TttLinear
    from seqcost.layers.mixers.ttt_mlp import TttMlp as TttMlp
    from seqcost.layers.mixers.window import WindowAttention as WindowAttention

    def __getattr__(name: str) -> Any: ...


# Every mixer that the files of mixers/ hold, by its name.
_MIXERS = {twin.__name__: twin for twin in _TWINS.values() if twin.__module__.startswith("seqcost.layers.mixers.")}
globals().update(_MIXERS)

__all__ = [
    "ClassHead",
    "Classifier",
    "Embedding",
    "FeedForward",
    "Head",
    "LanguageModel",
    "Layer",
    "LearnedPositions",
    "Norm",
    "Reversible",
    "SinusoidalPositions",
    "State",
    "build",
    "kernels",
    "use_kernels",
]
__all__.extend(sorted(_MIXERS))
