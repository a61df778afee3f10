"""How the results of derivatives lie in memory: on fake tensors as on real ones, whichever operand is transposed."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from seqcost.fakes.cpu_kernels import Substituting

ATEN = torch.ops.aten
DERIVATIVES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "sigmoid": ATEN.sigmoid_backward,
    "tanh": ATEN.tanh_backward,
    "relu": lambda g, y: ATEN.threshold_backward(g, y, 0),
    "silu": ATEN.silu_backward,
    "gelu-tanh": lambda g, x: ATEN.gelu_backward(g, x, approximate="tanh"),
    "elu": lambda g, x: ATEN.elu_backward(g, 1, 1, 1, False, x),
    "softplus": lambda g, x: ATEN.softplus_backward(g, x, 1, 20),
}


def _strides(derivative: Callable[[Tensor, Tensor], Tensor]) -> list[tuple[int, ...]]:
    plain, turned = torch.zeros(2, 7, 3, 4), torch.zeros(2, 3, 7, 4).transpose(1, 2)
    return [derivative(turned, plain).stride(), derivative(plain, turned).stride()]


@pytest.mark.parametrize("name", DERIVATIVES)
def test_fake_derivatives_lie_as_real_ones(name: str) -> None:
    real = _strides(DERIVATIVES[name])
    with FakeTensorMode(), Substituting():
        assert _strides(DERIVATIVES[name]) == real
