"""Shape of the state that a layer carries after some tokens, found without computing the state.

The layer's own `extend` runs on fake tensors, on a copy without memory. A layer that asks for values on the way
cannot be run so; its state is computed.
"""

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from seqcost.trace.fakes import UNFAKEABLE, fake_copy


def state_shape_after(module: Any, x: Tensor) -> Any:
    """The state after `extend` on x: tensors of the right shape (what else it holds is right as well)."""
    with torch.no_grad():
        if isinstance(x, FakeTensor):
            return module.extend(x, module.init_state(x.shape[0]))[1]
        try:
            with fake_copy(module) as (mode, copy):
                return copy.extend(mode.from_tensor(x), copy.init_state(x.shape[0]))[1]
        except UNFAKEABLE:
            return module.extend(x, module.init_state(x.shape[0]))[1]
