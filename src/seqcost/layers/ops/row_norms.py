"""Rows brought to length 1, to a mean square of 1 or to a deviation of 1, in float32 at least."""

import torch.nn.functional as F
from torch import Tensor


def l2_norm(x: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Each row over its length: x / √(Σ x² + ε)."""
    return x * (x.square().sum(-1, keepdim=True) + epsilon).rsqrt()


def rms_norm(x: Tensor, epsilon: float) -> Tensor:
    """Each row over its root mean square: x / √(mean x² + ε).

    Rows are brought to numbers of at most 1 before, since the square of 1e20 is more than float32 holds. That changes
    neither the result nor its slope, so no gradient flows through the share.
    """
    share = x.detach().abs().amax(-1, keepdim=True).clamp_min(1).reciprocal()
    x = x * share
    return x * (x.square().mean(-1, keepdim=True) + share.square() * epsilon).rsqrt()


def group_norm(x: Tensor, epsilon: float) -> Tensor:
    """GroupNorm with one group per row and no weights, for no row at all too: (x − μ)/√(σ² + ε)."""
    return F.layer_norm(x, x.shape[-1:], eps=epsilon)
