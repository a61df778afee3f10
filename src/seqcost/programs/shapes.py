"""Shape of the state that a layer carries after some tokens, found without computing the state.

The layer's own `extend` runs on fake tensors, on a copy without memory. A layer that asks for values on the way
cannot be run so; its state is computed.
"""

from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from seqcost.fakes.faking import UNFAKEABLE, as_fake, fake_copy
from seqcost.fakes.trees import map_tensors


def state_shape_after(module: Any, x: Tensor, others: list[Any]) -> Any:
    """The state after `extend` on x: tensors of the right shape (what else it holds is right as well).

    `others` are the further inputs of `init_state`, such as a source to attend to.
    """
    with torch.no_grad():
        if isinstance(x, FakeTensor):
            return _state_after(module, x, others)
        try:
            with fake_copy(module) as (mode, copy):
                given = map_tensors(lambda t: as_fake(t, mode), others)
                return _state_after(copy, as_fake(x, mode), given)
        except UNFAKEABLE:
            return _state_after(module, x, others)


def _state_after(module: Any, x: Tensor, others: list[Any]) -> Any:
    state = module.init_state(x.shape[0], *others)
    return module.extend(x, state)[1] if x.shape[1] else state
