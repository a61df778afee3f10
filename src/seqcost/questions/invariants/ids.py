"""Random inputs of the same kind as a given one. Ids that are no words (padding, begin, end, an image) are left out."""

from typing import Any

import torch
from torch import Tensor, nn


def padding_id(module: nn.Module) -> int | None:
    """The id of padding, by a configuration or an embedding."""
    config = getattr(module, "config", None)
    if isinstance(pad := getattr(config, "pad_token_id", None), int):
        return pad
    found = (part.padding_idx for part in module.modules() if isinstance(part, nn.Embedding))
    return next((pad for pad in found if pad is not None), None)


def special_ids(module: nn.Module) -> set[int]:
    """Ids that do not stand for a word."""
    config: Any = getattr(module, "config", None)
    settings = config.to_dict() if hasattr(config, "to_dict") else {}
    named = {v for name, v in settings.items() if name.endswith(("_token_id", "_token_index")) and isinstance(v, int)}
    pad = padding_id(module)
    return named if pad is None else named | {pad}


def words_only(x: Tensor, module: nn.Module, seed: int) -> Tensor:
    """The same input with every special id replaced by a word's."""
    special = special_ids(module)
    if x.is_floating_point() or not special:
        return x
    hit = torch.isin(x, torch.tensor(sorted(special)))
    return torch.where(hit, random_like(x, seed, special), x)


def random_like(x: Tensor, seed: int, special: set[int] = frozenset(), *, scale: float = 1.0) -> Tensor:  # type: ignore[assignment]
    """Another input of the same kind: other token ids up to the largest, or other features."""
    generator = torch.Generator().manual_seed(seed)
    if x.is_floating_point():
        return scale * torch.randn(x.shape, generator=generator, dtype=x.dtype)
    words = [i for i in range(int(x.max()) + 1) if i not in special] or [0]
    return torch.tensor(words, dtype=x.dtype)[torch.randint(0, len(words), x.shape, generator=generator)]
