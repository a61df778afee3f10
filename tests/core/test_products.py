"""Products on the tape beside PyTorch's own: what is multiplied backward, in which order, and what BLAS has copied."""

import pytest
import torch
from tape_and_torch import B, D, T, check_the_same
from torch.nn import functional

PRODUCTS = {
    "of a batch": (
        lambda t, x: t.matmul("f", x, t.unary("exp", t.transpose(x, 0, 2, 1), "exp")),
        lambda x: torch.bmm(x, x.transpose(1, 2).exp()),
    ),
    "with a view of itself": (
        lambda t, x: t.matmul("f", x, t.swapped(x)),
        lambda x: torch.bmm(x, x.transpose(1, 2)),
    ),
    "added in one kernel": (
        lambda t, x: t.add_matmul("f", t.unary("sin", x, "sin"), t.matmul("a", x, t.swapped(x)), x),
        lambda x: torch.baddbmm(x.sin(), torch.bmm(x, x.transpose(1, 2)), x),
    ),
    "of matrices that are copied first": (
        lambda t, x: t.matmul("f", t.select(t.view(x, B, T, 2, 2), 3), t.unary("exp", t.view(x, B, 2, T * 2), "exp")),
        lambda x: torch.bmm(x.view(B, T, 2, 2).select(3, 0), x.view(B, 2, T * 2).exp()),
    ),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_as_pytorch_does_it(name):
    check_the_same(*PRODUCTS[name])


@pytest.mark.parametrize("bias", [True, False])
def test_by_a_weight(bias):
    def written(t, x):
        weight = t.unary("weight", t.part(t.view(x, B * T, D), 3, D), "exp")
        shift = t.sum("shift", weight, 1) if bias else None
        return t.linear("f", x, 3, bias=bias, weight=weight, shift=shift)

    def run(x):
        weight = x.view(B * T, D)[:3].exp()
        return functional.linear(x, weight, weight.sum(1) if bias else None)

    check_the_same(written, run)
