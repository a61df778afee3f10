"""The recurrences of cuDNN without a GPU: its operators on shapes, against the weights of PyTorch's own cells."""

import pytest
import torch
from torch import nn

from seqcost.trace.operators import cudnn
from seqcost.trace.operators.registry import OPERATORS

T, B, D, N = 7, 3, 5, 4
MODES = {"rnn": 1, "lstm": 2, "gru": 3}
CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
ELEMENT = {"rnn": 1, "lstm": 3 + 2 + 4, "gru": 2 + 1 + 5}  # activations, then what combines them


def arguments(kind, *, layers=1, bias=True, bidirectional=False, batch_first=False):
    cell = CELLS[kind](D, N, layers, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
    x = torch.empty(B, T, D) if batch_first else torch.empty(T, B, D)
    hx = torch.empty(layers * (2 if bidirectional else 1), B, N)
    cx = torch.empty_like(hx) if kind == "lstm" else None
    settings = (MODES[kind], N, 0, layers, batch_first, 0.0, False, bidirectional, [], None)
    return (x, list(cell.parameters()), 4 if bias else 2, None, hx, cx), settings


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize(
    "options", [{}, {"layers": 2}, {"bias": False, "bidirectional": True}, {"batch_first": True}], ids=str
)
def test_every_weight_multiplies_every_token(kind, options):
    first, settings = arguments(kind, **options)
    operator = OPERATORS["aten::_cudnn_rnn"]
    directions, layers = 2 if options.get("bidirectional") else 1, options.get("layers", 1)
    widths = [D, *[N * directions] * (layers - 1)]
    gates = GATES[kind]
    products = sum(directions * 2 * B * T * gates * N * (width + N) for width in widths)
    biases = 0 if options.get("bias") is False else 2 * gates * N * directions * layers * B * T
    assert operator.contraction(*first, *settings) == products
    assert operator.pointwise(*first, *settings) == ELEMENT[kind] * N * directions * layers * B * T + biases
    assert operator.sizes(*first, *settings) == (T, B, D, N)
    assert cudnn.steps(*first, *settings) == layers * T


@pytest.mark.parametrize("kind", CELLS)
def test_backward_has_two_products_for_one(kind):
    first, settings = arguments(kind, layers=2)
    between = (torch.empty(T, B, N),) * 2 + (None, None)
    operator, back = OPERATORS["aten::_cudnn_rnn"], OPERATORS["aten::_cudnn_rnn_backward"]
    assert back.contraction(*first, *between, *settings) == 2 * operator.contraction(*first, *settings)
    assert back.pointwise(*first, *between, *settings) > operator.pointwise(*first, *settings)
    assert back.sizes(*first, *between, *settings) == (T, B, D, N)
    assert cudnn.steps_backward(*first, *between, *settings) == 2 * T


def test_the_arguments_stand_where_pytorch_has_them():
    forward, backward = (
        getattr(torch.ops.aten, name).default._schema for name in ("_cudnn_rnn", "_cudnn_rnn_backward")
    )
    names = [argument.name for argument in forward.arguments]
    assert names[4:11] == ["hx", "cx", "mode", "hidden_size", "proj_size", "num_layers", "batch_first"]
    back = [argument.name for argument in backward.arguments]
    assert back[4:6] + back[10:15] == names[4:11]
