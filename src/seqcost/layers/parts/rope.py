"""Rotary positions: features i and i + K/2 of a head turned by position × base^(−2i/K). See formulas/parts/rope."""

from typing import Any

import torch
from torch import Tensor


def rope_tables(start: int, tokens: int, frequency: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T,1,K/2] of positions start … start + tokens − 1, computed in float32."""
    at = torch.arange(start, start + tokens, dtype=torch.float32, device=frequency.device)
    angle = (at[:, None] * frequency)[:, None]
    return angle.cos().to(dtype), angle.sin().to(dtype)


def keep_float32(layer: Any, apply: Any, fn: Any, recurse: bool) -> Any:
    """`layer._apply`, the frequencies moved with the weights but not rounded: bfloat16 blurs far positions."""
    before = layer.frequency
    apply(fn, recurse)
    if layer.frequency.dtype != before.dtype:
        layer.frequency = before.to(layer.frequency.device)
    return layer


def rope_turn(x_BTHK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair of features turned by its angle."""
    first, second = x_BTHK.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def rope_frequency(K: int, base: float) -> Tensor:
    """base^(−2i/K) for i < K/2, float32."""
    return base ** (-torch.arange(0, K, 2, dtype=torch.float32) / K)
