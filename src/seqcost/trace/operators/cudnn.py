"""The recurrences of cuDNN: LSTM, GRU and plain RNN over a whole text, all layers and directions in one call.

Source: aten/src/ATen/native/cudnn/RNN.cpp `_cudnn_rnn`; the equations are those of `torch.nn.LSTM` and its kin. Every
bias that is given is added. Not covered: packed sequences, whose rows end at different steps.
"""

from collections.abc import Callable
from typing import Any

from seqcost.algebra.work import Kernel
from seqcost.formulas.core.pointwise import SIGMOID, SIGMOID_BACKWARD, TANH, TANH_BACKWARD
from seqcost.trace.operators.operator import Operator

# By the number that cuDNN has for a cell: RNN with ReLU, with tanh, LSTM, GRU; operations for an element of the state
_CELL = {0: 1, 1: TANH, 2: 3 * SIGMOID + 2 * TANH + 4, 3: 2 * SIGMOID + TANH + 5}  # r ⊙ U h, (1 − z) ⊙ n + z ⊙ h
_CELL_BACKWARD = {
    0: 1,
    1: TANH_BACKWARD,
    2: 3 * SIGMOID_BACKWARD + 2 * TANH_BACKWARD + TANH + 8,  # tanh(c) again; ⊙, +
    3: 2 * SIGMOID_BACKWARD + TANH_BACKWARD + 8,  # of z: h − n and ⊙; of n: 1 − z and ⊙; of h: ⊙ and +; of r, U h: ⊙
}


def steps(x: Any, weights: Any, stride: int, buffer: Any, hx: Any, *others: Any) -> Any:
    """Dependent steps: a layer follows the other."""
    _, layers, batch_first = _settings(others)
    return layers * x.shape[1 if batch_first else 0]


def steps_backward(x: Any, weights: Any, stride: int, buffer: Any, hx: Any, cx: Any, *others: Any) -> Any:
    """As many back; the output and its gradients stand between the state and the settings."""
    return steps(x, weights, stride, buffer, hx, cx, *others[4:])


def _settings(others: Any) -> tuple[int, int, bool]:
    """Kind of cell, layers, whether the batch comes first; `others` begin with the state of an LSTM's cell."""
    _, mode, _, _, layers, batch_first = others[:6]
    return mode, layers, batch_first


def _tokens(x: Any) -> Any:
    return x.shape[0] * x.shape[1]


def _products(x: Any, weights: Any, *_: Any, **__: Any) -> Any:
    # x [T,B,D] @ Wᵀ and h [B,N] @ Uᵀ at each step, of every layer and direction; a projection of h likewise
    return 2 * _tokens(x) * sum(weight.numel() for weight in weights if weight.dim() == 2)


def _products_backward(x: Any, weights: Any, *_: Any, **__: Any) -> Any:
    return 2 * _products(x, weights)  # dx and dh, dW and dU


def _elementwise(cell: dict[int, int]) -> Callable[..., Any]:
    def pointwise(x: Any, weights: Any, stride: int, buffer: Any, hx: Any, *others: Any, **__: Any) -> Any:
        biases = sum(weight.numel() for weight in weights if weight.dim() == 1)
        mode = _settings(others if cell is _CELL else (others[0], *others[5:]))[0]
        return _tokens(x) * (cell[mode] * _states(hx) + biases)

    return pointwise


def _states(hx: Any) -> Any:
    return hx.shape[0] * hx.shape[2]  # of [layers · directions, B, N]


def _sizes(x: Any, weights: Any, stride: int, buffer: Any, hx: Any, *others: Any, **__: Any) -> tuple[Any, ...]:
    return _ordered(x, hx, _settings(others)[2])


def _sizes_backward(x: Any, weights: Any, stride: int, buffer: Any, hx: Any, *others: Any, **__: Any) -> Any:
    return _ordered(x, hx, _settings((others[0], *others[5:]))[2])


def _ordered(x: Any, hx: Any, batch_first: bool) -> tuple[Any, ...]:
    T, B = (x.shape[1], x.shape[0]) if batch_first else x.shape[:2]
    return (T, B, x.shape[2], hx.shape[2])


CUDNN = {
    "aten::_cudnn_rnn": Operator(Kernel.RECURRENCE, _products, _elementwise(_CELL), _sizes),
    "aten::_cudnn_rnn_backward": Operator(
        Kernel.RECURRENCE, _products_backward, _elementwise(_CELL_BACKWARD), _sizes_backward
    ),
}
