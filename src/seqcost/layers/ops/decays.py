"""Fixed rates at which the heads of a layer forget, as logarithms of what a token leaves of the state."""

import torch
from torch import Tensor


def retnet_log_decay(H: int, like: Tensor) -> Tensor:
    """log(1 − 2^(−5−h)) for heads h = 0 … H − 1. Sun et al. 2023, arXiv 2307.08621, eq. 8."""
    return _as(torch.log1p(-torch.exp2(-5 - torch.arange(H, dtype=torch.float64))), like)


def alibi_log_decay(H: int, like: Tensor) -> Tensor:
    """−2^(−8h/H) for heads h = 1 … H: ALiBi's slopes, which lightning attention and SUPRA take."""
    return _as(-torch.exp2(-8 * torch.arange(1, H + 1, dtype=torch.float64) / H), like)


def _as(decay: Tensor, like: Tensor) -> Tensor:
    """On the device of a weight, in its dtype or in float32 where that is narrower."""
    return decay.to(like.device, torch.promote_types(like.dtype, torch.float32))
