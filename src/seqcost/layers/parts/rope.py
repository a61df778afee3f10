"""Rotary positions: features i and i + K/2 of a head turned by position × base^(−2i/K). See formulas/ops/rotary.

Angles are float64, whatever the layer is: float32 is 5e-3 off at the millionth position and cannot count beyond 2^24.
"""

import torch
from torch import Tensor

from seqcost.errors import BadSize

FARTHEST = 2**32  # from there on angles in float64 are off by 1e-6


def rope_tables(start: int, tokens: int, frequency: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T,1,K/2] of positions start … start + tokens − 1, in the dtype and on the device of a tensor.

    Raises
    ------
    BadSize: the first position is beyond `FARTHEST`.

    """
    angle = angles(start, tokens, frequency).unsqueeze(1)
    return angle.cos().to(like.device, like.dtype), angle.sin().to(like.device, like.dtype)


def angles(start: int, tokens: int, frequency: Tensor) -> Tensor:
    """Position × frequency [T,K/2]."""
    if isinstance(start, int) and start > FARTHEST:  # a symbolic one is the length of something in memory
        raise BadSize(
            f"position {start} was given; angles are exact up to position {FARTHEST}: begin the text anew before that."
        )
    at = torch.arange(start, start + tokens, dtype=frequency.dtype, device=frequency.device)
    return at[:, None] * frequency


def rope_turn(x_BTHK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair of features turned by its angle."""
    first, second = x_BTHK.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def rope_frequency(K: int, base: float, device: torch.device | None = None) -> Tensor:
    """base^(−2i/K) for i < K/2, float64; on the CPU for a device that has no such numbers."""
    if device is not None and device.type == "mps":
        device = torch.device("cpu")
    return base ** (-torch.arange(0, K, 2, dtype=torch.float64, device=device) / K)
