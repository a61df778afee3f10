"""Inputs for a module that came without any: its own example, or what its first layer takes.

Token ids go into an embedding, features into everything else. A text, where one is given, becomes token ids byte
by byte, repeated or cut to the length asked for.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from seqcost.errors import BadTarget
from seqcost.fakes.trees import map_tensors
from seqcost.programs.hugging_face.inputs import inputs_of
from seqcost.programs.hugging_face.models import is_hugging_face


@dataclass(frozen=True)
class Inputs:
    """Arguments of a module's call."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Inputs":
        """The same arguments with `function` applied to each tensor."""
        return Inputs(map_tensors(function, self.args), map_tensors(function, self.kwargs))

    @classmethod
    def of(cls, given: Any) -> "Inputs":
        """From what users return beside a module: a tensor, a tuple or list, or a dict by name."""
        if isinstance(given, cls):
            return given
        if isinstance(given, Tensor):
            return cls((given,))
        if isinstance(given, tuple | list):
            return cls(tuple(given))
        if isinstance(given, dict):
            return cls((), dict(given))
        raise BadTarget(
            f"inputs of type {type(given).__name__} came with the module; a tensor, a tuple of arguments or a dict of "
            "named arguments is allowed."
        )


def example_inputs(module: nn.Module, B: int, T: int, *, S: int | None = None, text: bytes | None = None) -> Inputs:
    """Inputs of B sequences of T tokens: the module's `example_inputs(B, T)`, else a guess from its first layer.

    S is the length of a source; BadTarget where there is none.
    """
    own = getattr(module, "example_inputs", None)
    sizes = (B, T) if S is None else (B, T, S)
    if not callable(own) and is_hugging_face(module):
        named = inputs_of(module, B, T, S=S)
        if text is not None and "input_ids" in named:
            named["input_ids"] = _tokens_of(text, named["input_ids"])
        return Inputs((), named)
    args = tuple(own(*sizes)) if callable(own) else _guess(module, B, T)
    if text is not None and args and args[0].dtype == torch.int64:
        args = (_tokens_of(text, args[0]), *args[1:])
    return Inputs(args)


def _tokens_of(text: bytes, like: Tensor) -> Tensor:
    if not text:
        raise BadTarget("an empty text was given; give one of at least one byte.")
    count = like.numel()
    repeated = (text * (count // len(text) + 1))[:count]
    return torch.frombuffer(bytearray(repeated), dtype=torch.uint8).to(like.device, torch.int64).view(like.shape)


def _guess(module: nn.Module, B: int, T: int) -> tuple[Tensor, ...]:
    for part in module.modules():
        for kind, make in _MAKERS.items():
            if isinstance(part, kind):
                inputs = make(part, B, T, _example_parameter(part))
                return inputs * _NUM_ARGUMENTS.get(type(module), 1)
    raise BadTarget(
        f"no inputs could be found for {type(module).__name__}: its first layer is not one that tells what it takes; "
        "give inputs=(…), a function `def make(batch, length): return module, inputs`, or the module a method "
        "example_inputs(B, T)."
    )


def _example_parameter(part: nn.Module) -> Tensor:
    return next(part.parameters(), torch.empty(()))


def _features(like: Tensor, *sizes: int) -> tuple[Tensor, ...]:
    return (torch.randn(*sizes, dtype=like.dtype, device=like.device, requires_grad=True),)


def _sequence(like: Tensor, B: int, T: int, width: int, *, batch_first: bool) -> tuple[Tensor, ...]:
    return _features(like, B, T, width) if batch_first else _features(like, T, B, width)


def _tokens(part: nn.Embedding, B: int, T: int, like: Tensor) -> tuple[Tensor, ...]:
    return (torch.randint(0, part.num_embeddings, (B, T), device=like.device),)


# The first kind that fits the first fitting part (outer modules come before their children) decides.
_MAKERS: dict[type[nn.Module], Callable[..., tuple[Tensor, ...]]] = {
    nn.Embedding: _tokens,
    nn.TransformerEncoderLayer: lambda m, B, T, p: _sequence(
        p, B, T, m.linear1.in_features, batch_first=m.self_attn.batch_first
    ),
    nn.TransformerDecoderLayer: lambda m, B, T, p: _sequence(
        p, B, T, m.linear1.in_features, batch_first=m.self_attn.batch_first
    ),
    nn.MultiheadAttention: lambda m, B, T, p: _sequence(p, B, T, m.embed_dim, batch_first=m.batch_first),
    nn.RNNBase: lambda m, B, T, p: _sequence(p, B, T, m.input_size, batch_first=m.batch_first),
    nn.RNNCellBase: lambda m, B, T, p: _features(p, B, T, m.input_size),
    nn.Linear: lambda m, B, T, p: _features(p, B, T, m.in_features),
    nn.LayerNorm: lambda m, B, T, p: _features(p, B, T, *m.normalized_shape),
    nn.RMSNorm: lambda m, B, T, p: _features(p, B, T, *m.normalized_shape),
    nn.Conv1d: lambda m, B, T, p: _features(p, B, m.in_channels, T),
}
# Modules of torch.nn whose call takes several sequences.
_NUM_ARGUMENTS: dict[type[nn.Module], int] = {
    nn.MultiheadAttention: 3, nn.TransformerDecoderLayer: 2, nn.TransformerDecoder: 2, nn.Transformer: 2,
}  # fmt: skip
