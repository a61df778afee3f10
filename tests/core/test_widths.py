"""Numbers of two widths on the tape beside PyTorch's own: what is cast, forward and by autograd, and what is not."""

import pytest
import torch
from tape_and_torch import B, D, T, check_the_same
from torch.nn import functional

from seqcost.formulas.core.values import ONE


def exponential(t, x):
    return t.unary("wide", t.float32("widen", x), "exp")


def wide(x):
    return x.to(torch.promote_types(x.dtype, torch.float32)).exp()


def weight(t, x):
    return t.part(t.view(exponential(t, x), B * T, D), 3, D)


MIXED = {
    "a product of wide ones": (
        lambda t, x: t.linear("f", exponential(t, x), 3, bias=False, weight=weight(t, x)),
        lambda x: functional.linear(wide(x), wide(x).view(B * T, D)[:3]),
    ),
    "a sum with a wide one": (
        lambda t, x: t.add("f", x, exponential(t, x)),
        lambda x: x + wide(x),
    ),
    "a wide one times a row": (
        lambda t, x: t.multiply("f", exponential(t, x), t.view(t.sum("row", x, 1), B, ONE, D)),
        lambda x: wide(x) * x.sum(1).view(B, 1, D),
    ),
    "through a wide one and back": (
        lambda t, x: t.multiply("f", x, t.working("inner", exponential(t, x))),
        lambda x: x * wide(x).to(x.dtype),
    ),
}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", MIXED)
def test_as_pytorch_does_it(name, dtype):
    written, run = MIXED[name]
    check_the_same(lambda t, x: t.working("narrow", written(t, x)), lambda x: run(x).to(x.dtype), dtype)
