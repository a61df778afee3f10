"""The number formats of a module: the one that stands for it, and all that its parameters and buffers are held in."""

from collections import Counter
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from seqcost.algebra.formats import dtype_named

# Formats that a module computes in, and that one may be turned into. Others (int8, float8) are held as they are.
WORDS = {torch.float32: "float32", torch.float64: "float64", torch.float16: "float16", torch.bfloat16: "bfloat16"}
_BY_NAME = {word: dtype for dtype, word in WORDS.items()}


def check_dtype(dtype: str) -> torch.dtype:
    """The data type of that name, a short one (bf16) included."""
    return _BY_NAME[dtype_named(dtype)]


def main_format(module: nn.Module, inputs: Iterable[Tensor | torch.dtype] = ()) -> str:
    """The floating-point format of most weights, else of the inputs, else float32."""
    held = _held(module)
    others = (given if isinstance(given, torch.dtype) else given.dtype for given in inputs)
    for dtype in (*(dtype for dtype, _ in held.most_common()), *others):
        if dtype in WORDS:
            return WORDS[dtype]
    return "float32"


def mixture(module: nn.Module) -> str | None:
    """Each format with its share of bytes, where weights and buffers are held in several; None where in one."""
    held: Counter[str] = Counter()
    for dtype, count in _held(module, integers=False).items():
        held[str(dtype).removeprefix("torch.")] += count * dtype.itemsize
    if len(held) < 2:
        return None
    return ", ".join(f"{word} {size:,} bytes" for word, size in held.most_common())


def _held(module: nn.Module, *, integers: bool = True) -> Counter[torch.dtype]:
    """Scalars of each format; of buffers the floating-point ones alone, if integers (counters, masks) do not matter."""
    held: Counter[torch.dtype] = Counter()
    for tensor in module.parameters():
        held[tensor.dtype] += tensor.numel()
    for buffer in module.buffers():
        if integers or buffer.is_floating_point():
            held[buffer.dtype] += buffer.numel()
    return held
