"""Sums, means, running sums and softmax on the tape beside PyTorch's own."""

import pytest
import torch
from tape_and_torch import check_the_same

ROWS = {
    "sum over features": (lambda t, x: t.sum("sum", x, -1), lambda x: x.sum(-1)),
    "sum over tokens, kept": (lambda t, x: t.sum("sum", x, 1, keep=True), lambda x: x.sum(1, keepdim=True)),
    "sum over all": (lambda t, x: t.sum("sum", x), torch.sum),
    "sum over two": (lambda t, x: t.sum("sum", x, 0, 2), lambda x: x.sum((0, 2))),
    "mean": (lambda t, x: t.mean("mean", x, -1, keep=True), lambda x: x.mean(-1, keepdim=True)),
    "running sum": (lambda t, x: t.cumsum("cumsum", x, 1), lambda x: x.cumsum(1)),
    "softmax": (lambda t, x: t.softmax("softmax", x), lambda x: x.softmax(-1)),
    "softmax of what lies otherwise": (
        lambda t, x: t.softmax("softmax", t.transpose(x, 0, 2, 1)),
        lambda x: x.transpose(1, 2).softmax(-1),
    ),
    "without the greatest": (
        lambda t, x: t.subtract("less", x, t.largest("most", t.detach(x))),
        lambda x: x - x.detach().amax(-1, keepdim=True),
    ),
}


@pytest.mark.parametrize("name", ROWS)
def test_as_pytorch_does_it(name):
    check_the_same(*ROWS[name])
