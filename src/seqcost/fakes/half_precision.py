"""How the result of an element-wise operator on numbers of half precision lies: as that of float32 does.

A fake tensor in half precision is computed by PyTorch's own references (torch/_refs), which first copy the operands to
float32. A copy has no stride of 0, so an operand that was stretched takes part in the choice of the layout there, which
on the CPU it does not.
"""

from functools import cache
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._pytree import tree_map_only

from seqcost.fakes.faking import empty_fake
from seqcost.fakes.trees import tensors_in

HALF = {torch.bfloat16, torch.float16}


def as_on_the_cpu(operator: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """`out`, the result of `operator(*args, **kwargs)`, in the layout that it has on the CPU."""
    if not isinstance(out, FakeTensor) or out.dim() < 2 or not _is_elementwise(operator):
        return out
    operands = [x for x in tensors_in((args, kwargs)) if x.dim()]
    formats = {x.dtype for x in operands if x.is_floating_point()}  # beside another format the CPU copies them as well
    if len(formats) != 1 or not formats <= HALF or all(x.is_contiguous() for x in operands):
        return out
    widened = tree_map_only(FakeTensor, _widened, (args, kwargs))
    strides = operator(*widened[0], **widened[1]).stride()
    return out if strides == out.stride() else empty_fake(out.fake_mode, out.shape, strides, out.dtype, out.fake_device)


@cache
def _is_elementwise(operator: Any) -> bool:
    return torch.Tag.pointwise in operator.tags


def _widened(x: FakeTensor) -> FakeTensor:
    """A tensor of the same layout in float32, where it is of half precision."""
    return empty_fake(x.fake_mode, x.shape, x.stride(), torch.float32, x.fake_device) if x.dtype in HALF else x
