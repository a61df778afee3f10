"""The step size δ of state-space layers before training."""

import math

import torch
from torch import Tensor

RANGE = (0.001, 0.1)  # Gu & Dao 2023, arXiv 2312.00752, section 3.6


def step_size_bias(features: int) -> Tensor:
    """A bias whose softplus is drawn log-uniformly from `RANGE`."""
    low, high = (math.log(end) for end in RANGE)
    delta = torch.empty(features).uniform_(low, high).exp()
    return delta + torch.log(-torch.expm1(-delta))  # the inverse of softplus
