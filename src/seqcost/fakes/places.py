"""Where a tensor lies: what tells that two of them are one memory."""

from typing import Any

import torch
from torch import Tensor


def place_of(tensor: Tensor) -> Any:
    """What all names of one memory, seen in one way, have in common; a tensor of another layout is itself alone."""
    if tensor.layout != torch.strided:
        return id(tensor)
    storage = tensor.untyped_storage()._cdata
    return storage, tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.dtype
