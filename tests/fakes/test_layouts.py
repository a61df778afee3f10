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


BETWEEN: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mul": ATEN.mul.Tensor,
    "div": ATEN.div.Tensor,
    "maximum": ATEN.maximum,
    "less": ATEN.lt.Tensor,
    "where": lambda a, b: ATEN.where.self(a > 0, a, b),
    "sigmoid_backward": ATEN.sigmoid_backward,
}
LYING: dict[str, Callable[[torch.dtype], Tensor]] = {
    "plain": lambda dtype: torch.zeros(3, 4, 2, 6, dtype=dtype),
    "turned": lambda dtype: torch.zeros(3, 2, 4, 6, dtype=dtype).transpose(1, 2),
    "stretched": lambda dtype: torch.zeros(3, 4, 1, 6, dtype=dtype).expand(3, 4, 2, 6),
    "with gaps": lambda dtype: torch.zeros(3, 2, 4, 12, dtype=dtype).transpose(1, 2)[..., ::2],
    "a row": lambda dtype: torch.zeros(6, 2, dtype=dtype).t(),
}
FORMATS = [torch.bfloat16, torch.float16, torch.float32, torch.bool]


@pytest.mark.parametrize("name", BETWEEN)
def test_between_two_numbers_of_whichever_width_fakes_lie_as_real_ones(name: str) -> None:
    """Also stretched ones in half precision, which a fake kernel copies first."""
    operands = [(a, b, c, d) for a in LYING for b in LYING for c in FORMATS[:3] for d in FORMATS]

    def found() -> list[tuple[tuple[int, ...], torch.dtype]]:
        results = [BETWEEN[name](LYING[a](c), LYING[b](d)) for a, b, c, d in operands]
        return [(result.stride(), result.dtype) for result in results]

    real = found()
    with FakeTensorMode(), Substituting():
        assert found() == real
