"""B, T and S of the inputs that came with a module: read from their shapes, since that is what runs.

The first tensor with two or three axes tells, a decoder's words before others. Token ids are [B, T], features
[B, T, D]; where the module's first layer is a recurrent or attention layer of torch.nn, features lie as it takes them
(time first, or one sequence without a batch), where it is a Conv1d they are [B, D, T]. Rows of features [B, D] in front
of any other layer are B sequences of one token. Images or films that the module's first convolution cuts into patches
are sequences of as many tokens. Sizes that were asked for choose between these and the other axes, and are refused
where no axis has them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.fakes.trees import tensors_in

_WORDS = ("decoder_input_ids", "input_ids")
_PLACED = (nn.RNNBase, nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
_SHOWN = 4  # tensors whose shapes are told


@dataclass(frozen=True)
class Reading:
    """What B and T are, and where they were read."""

    B: int
    T: int
    conventions: Mapping[str, str]


def read(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], module: nn.Module, *, B: int | None, T: int | None
) -> Reading:
    """B and T of these inputs; those asked for (None: not asked) must be among their axes, else BadSize."""
    lead = _lead(args, kwargs, module)
    shown = _shown(args, kwargs)
    if lead is None:
        return Reading(B or 1, T or 1, {"inputs": "came with the module, no tensor among them: B and T are as asked"})
    others = [tensor for tensor in tensors_in((args, kwargs)) if tensor is not lead]
    found = [(b, t, places) for tensor in (lead, *others) for b, t, places in _readings(tensor, module)]
    for b, t, places in found:
        if B in (None, b) and T in (None, t):
            return Reading(b, t, {"inputs": f"came with the module: {shown}; {places}"})
    own = {"B": found[0][0], "T": found[0][1]}
    asked = {letter: size for letter, size in (("B", B), ("T", T)) if size is not None}
    raise BadSize(
        f"{_equals(asked)} was asked of {type(module).__name__}, but the inputs that came with it are {shown}: "
        f"{_equals(own)}; leave the size out, or give a function of (batch, length) that returns (module, inputs)."
    )


def source_in(kwargs: Mapping[str, Any]) -> int | None:
    """Tokens of the source beside a decoder's words; None where there is no such pair."""
    source = kwargs.get("input_ids")
    return source.shape[1] if "decoder_input_ids" in kwargs and isinstance(source, Tensor) else None


def _lead(args: tuple[Any, ...], kwargs: Mapping[str, Any], module: nn.Module) -> Tensor | None:
    named = [kwargs[name] for name in _WORDS if isinstance(kwargs.get(name), Tensor)]
    tensors = [*named, *tensors_in((args, kwargs))]
    telling = (t for t in tensors if (t.dim() in (2, 3) and t.dtype != torch.bool) or _cutter(t, module) is not None)
    return next(telling, next(iter(tensors), None))


def _cutter(tensor: Tensor, module: nn.Module) -> nn.Conv2d | nn.Conv3d | None:
    """The module's first convolution, if it cuts this batch of images [B, C, H, W] or films [B, C, F, H, W] up."""
    first = next((m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Conv3d)), None)
    if first is None or tensor.is_nested or tensor.dim() != len(first.kernel_size) + 2:
        return None
    unpadded = first.padding == "valid" or not any(first.padding)
    cuts = first.stride == first.kernel_size and unpadded and set(first.dilation) == {1}
    fits = tensor.is_floating_point() and tensor.shape[1] == first.in_channels
    return first if cuts and fits else None


def _sizes(lead: Tensor) -> list[int]:
    if not lead.is_nested:
        return [int(size) for size in lead.shape]
    parts = lead.unbind()  # sequences of several lengths: the longest one counts
    return [len(parts), *(max(int(part.shape[axis]) for part in parts) for axis in range(parts[0].dim()))]


def _readings(tensor: Tensor, module: nn.Module) -> Iterator[tuple[int, int, str]]:
    """B and T as a tensor may have them, and where; the likeliest first."""
    sizes = _sizes(tensor)
    if (cutter := _cutter(tensor, module)) is not None:
        # No other axis is one of tokens: T would be claimed of a model that has another number of them.
        patch = cutter.kernel_size
        T = math.prod(size // side for size, side in zip(sizes[2:], patch, strict=True))
        yield sizes[0], T, f"{_place('B', 0)}, T counts patches of {' × '.join(map(str, patch))}"
        return
    for at_B, at_T in _places(tensor, len(sizes), module):
        B, T = (1 if axis is None else sizes[axis] for axis in (at_B, at_T))
        yield B, T, f"{_place('B', at_B)}, {_place('T', at_T)}"


def _places(lead: Tensor, num_axes: int, module: nn.Module) -> Iterator[tuple[int | None, int | None]]:
    """Axes of B and of T, None for a size of 1 that has no axis."""
    features = lead.is_floating_point() or lead.is_complex()
    first = next((m for m in module.modules() if isinstance(m, (*_PLACED, nn.Embedding, nn.Linear, nn.Conv1d))), None)
    if num_axes == 0:
        yield None, None
    elif num_axes == 1:
        yield (0, None) if features else (None, 0)
    elif features and num_axes == 3 and isinstance(first, nn.Conv1d):
        yield 0, 2
    elif features and isinstance(first, _PLACED) and num_axes in (2, 3):
        attention = getattr(first, "self_attn", first)
        yield (None, 0) if num_axes == 2 else (0, 1) if attention.batch_first else (1, 0)
    elif num_axes > 3 or (features and num_axes == 2):
        yield 0, None
    else:
        yield 0, 1
    # The last axis of features is their width, but for a convolution.
    last = features and num_axes in (2, 3) and not any(isinstance(m, nn.Conv1d) for m in module.modules())
    places = [None, *range(num_axes - last)]
    yield from ((b, t) for b in places for t in places if b != t)


def _place(letter: str, axis: int | None) -> str:
    return f"{letter} is axis {axis}" if axis is not None else f"no axis is {letter}, which is 1"


def _equals(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{letter} = {size:,}" for letter, size in sizes.items())


def _shown(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    tensors = [("", t) for t in tensors_in(args)] + [
        (f"{name} ", t) for name, v in kwargs.items() for t in tensors_in(v)
    ]
    words = [
        f"{name}{str(t.dtype).removeprefix('torch.')} [{', '.join(map(str, _sizes(t)))}]"
        for name, t in tensors[:_SHOWN]
    ]
    rest = len(tensors) - len(words)
    return ", ".join(words) + (f" and {rest} more" if rest else "")
