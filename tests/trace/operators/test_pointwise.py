"""Operations of single operators that are no products, by the table that formulas share."""

import math

import pytest
import torch
from operator_calls import Apply
from torch import nn
from torch.nn import functional

from seqcost.algebra import Kind
from seqcost.formulas.core import pointwise
from seqcost.programs import Target
from seqcost.trace import trace

ROWS, D = 2 * 10, 16
N = ROWS * D


def operations(module, phase="forward"):
    x = torch.randn(2, 10, D, requires_grad=True)
    return trace(Target.of_module(module, x), phase=phase, B=2, T=10).flops


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (functional.silu, pointwise.SILU * N),
        (functional.gelu, pointwise.GELU * N),
        (lambda x: functional.gelu(x, approximate="tanh"), pointwise.GELU_TANH * N),
        (lambda x: x.softmax(-1), pointwise.SOFTMAX * N),
        (lambda x: x.log_softmax(-1), pointwise.LOG_SOFTMAX * N),
        (lambda x: x.exp(), N),
        (lambda x: x + x[:1], N),
        (lambda x: x.sum(-1), N),
        (lambda x: x.cumsum(1), N),
        (lambda x: x.sort(-1)[0], N * math.ceil(math.log2(D))),
        (lambda x: x.masked_fill(x.isnan(), 0.0), N),  # the comparison; the mask is free
        (lambda x: torch.view_as_complex(x.view(2, 10, -1, 2)) * 1j, 6 * N // 2),  # four products, two sums
        (lambda x: torch.view_as_complex(x.view(2, 10, -1, 2)) + 1j, 2 * N // 2),
        (lambda x: 0.5 * torch.view_as_complex(x.view(2, 10, -1, 2)), 2 * N // 2),
        (lambda x: torch.view_as_complex(x.view(2, 10, -1, 2)).sum(-1), 2 * N // 2),
        (lambda x: torch.cat((x, x)), 0),
        (lambda x: x.to(torch.float64), 0),
        (lambda x: x.transpose(0, 1).contiguous(), 0),
        (lambda x: torch.randn_like(x), 0),
    ],
    ids=[
        "silu", "gelu", "gelu-tanh", "softmax", "log-softmax", "exp", "add", "sum", "cumsum", "sort", "mask",
        "complex-product", "complex-sum", "complex-times-real", "complex-reduction", "concatenation", "cast",
        "copy", "noise",
    ],
)  # fmt: skip
def test_forward_operations(function, expected):
    assert operations(Apply(function)).total() == expected


@pytest.mark.parametrize(
    ("module", "line", "expected"),
    [
        (nn.SiLU(), "silu_backward", pointwise.SILU_BACKWARD),
        (nn.GELU(), "gelu_backward", pointwise.GELU_BACKWARD),
        (nn.ReLU(), "threshold_backward", pointwise.RELU_BACKWARD),
        (nn.Tanh(), "tanh_backward", pointwise.TANH_BACKWARD),
        (nn.Sigmoid(), "sigmoid_backward", pointwise.SIGMOID_BACKWARD),
        (nn.Softplus(), "softplus_backward", 1),
        (nn.ELU(), "elu_backward", 1),
        (nn.LogSigmoid(), "log_sigmoid_backward", 1),
        (nn.Softmax(-1), "_softmax_backward_data", pointwise.SOFTMAX_BACKWARD),
        (
            nn.LayerNorm(D),
            "native_layer_norm_backward",
            pointwise.NORM_BACKWARD + pointwise.SCALE_BACKWARD + pointwise.SHIFT_BACKWARD,
        ),
        (
            nn.LayerNorm(D, bias=False),
            "native_layer_norm_backward",
            pointwise.NORM_BACKWARD + pointwise.SCALE_BACKWARD,
        ),
    ],
    ids=[
        "silu",
        "gelu",
        "relu",
        "tanh",
        "sigmoid",
        "softplus",
        "elu",
        "log-sigmoid",
        "softmax",
        "layer-norm",
        "layer-norm-unshifted",
    ],
)
def test_backward_operations(module, line, expected):
    (found,) = operations(module, "train").select(f"backward.{line}")
    assert (found.amount, found.kind) == (expected * N, Kind.POINTWISE)


def test_gradients_of_windows_that_overlap_are_added():
    (found,) = operations(Apply(lambda x: x.unfold(1, 4, 2)), "train").select("backward.unfold_backward")
    assert (found.amount, found.kind) == (2 * 4 * 4 * D, Kind.POINTWISE)  # four windows of four tokens


def test_a_bias_is_pointwise_beside_its_product():
    with_bias, without = (operations(nn.Linear(D, 4, bias=bias)) for bias in (True, False))
    assert with_bias.total(Kind.CONTRACTION) == without.total(Kind.CONTRACTION)
    assert with_bias.total(Kind.POINTWISE) - without.total(Kind.POINTWISE) == ROWS * 4
