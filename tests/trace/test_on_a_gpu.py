"""A module that lives on a CUDA device is counted there: what its kernels do, without running them."""

import pytest
import torch
from torch import nn

from seqcost import count
from seqcost.formulas.catalogue import configure
from seqcost.layers import build

pytestmark = pytest.mark.gpu
B, T, D = 2, 48, 64  # heads 8 wide: narrower ones are padded for the half-precision kernel, and so counted
NAMES = (
    "attention-layer", "gla-layer", "mamba-layer", "s4d-layer", "minlstm-layer", "feed-forward", "norm", "conv-layer",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_forward_flops_are_those_of_the_cpu(name, dtype):
    layer = build(configure(name, D=D)).to(dtype)
    x = torch.randn(B, T, D, dtype=dtype)
    here = count(layer, inputs=(x,))
    there = count(layer.cuda(), inputs=(x.cuda(),))
    assert there.flops == here.flops
    assert not [row for row in there.uncounted if "operator" in row]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN], ids=["lstm", "gru", "rnn"])
@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True, "bias": False}], ids=str)
def test_the_recurrences_of_cudnn_are_counted(kind, options):
    cell = kind(D, 24, batch_first=True, **options)
    x = torch.randn(B, T, D)
    here = count(cell, inputs=(x,))
    there = count(cell.cuda(), inputs=(x.cuda(),))
    products = 2 * B * T * sum(w.numel() for name, w in cell.named_parameters() if "weight" in name)
    assert there.flops == here.flops == products
    assert there.depth >= T  # one call, and as many steps as tokens
