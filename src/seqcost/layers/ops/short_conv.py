"""The short causal depthwise convolution in front of state-space and delta-rule layers, with its state.

It runs as a two-dimensional convolution over an image of height 1: x [B,T,E] then is "channels last" as it stands,
so the kernel needs no copy. Letters: see formulas; k width of the filter.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def short_conv(x_BTE: Tensor, weight_Ek: Tensor, bias_E: Tensor | None, state_BkE: Tensor) -> tuple[Tensor, Tensor]:
    """y_t = Σ_j w_j ⊙ x_{t−k+1+j} + b, the last column of the weight on the token itself; T ≥ 0.

    `state_BkE` [B,k−1,E] are the inputs before the first one, zeros at the start; those before the next one return.
    """
    T = x_BTE.shape[1]
    if T == 0:
        return x_BTE, state_BkE
    past_BTE = torch.cat([state_BkE, x_BTE], dim=1)
    image_BE1T = past_BTE.transpose(1, 2).unsqueeze(2)
    y_BE1T = F.conv2d(image_BE1T, weight_Ek[:, None, None], bias_E, groups=weight_Ek.shape[0])
    # A copy: a view would keep the whole sequence in memory for the sake of k − 1 columns.
    return y_BE1T.squeeze(2).transpose(1, 2), past_BTE[:, T:].clone(memory_format=torch.contiguous_format)


def conv_weight(E: int, k: int) -> nn.Parameter:
    """A filter [E,k] drawn as `nn.Conv1d` draws it: uniform within ±1/√k."""
    return nn.Parameter(torch.empty(E, k).uniform_(-(k**-0.5), k**-0.5))


def conv_bias(E: int, k: int) -> nn.Parameter:
    """Its bias [E], drawn from the same range."""
    return nn.Parameter(torch.empty(E).uniform_(-(k**-0.5), k**-0.5))
