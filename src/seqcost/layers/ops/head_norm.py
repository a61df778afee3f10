"""Normalisation of each head's output on its own, over its V features."""

import torch.nn.functional as F
from torch import Tensor


def group_norm(y_BTHV: Tensor, epsilon: float) -> Tensor:
    """(y − μ)/σ of each head: GroupNorm with a group a head and no weights, for no token at all too."""
    return F.layer_norm(y_BTHV, y_BTHV.shape[-1:], eps=epsilon)


def rms_norm(y_BTHV: Tensor, epsilon: float) -> Tensor:
    """Y / √(mean y² + ε) of each head, without a gain."""
    return y_BTHV * (y_BTHV.square().mean(-1, keepdim=True) + epsilon).rsqrt()
