"""Views and copies on the tape beside PyTorch's own: which are copied, what comes back, and what lives how long."""

import pytest
import torch
from tape_and_torch import B, D, T, check_the_same
from torch.nn import functional

from seqcost.formulas.core.values import ONE

MOVES = {
    "view": (lambda t, x: t.view(x, B * T, D), lambda x: x.view(B * T, D)),
    "view of a transpose is a copy": (
        lambda t, x: t.view(t.transpose(x, 0, 2, 1), B, T * D),
        lambda x: x.transpose(1, 2).reshape(B, T * D),
    ),
    "view of a transpose that stays one piece": (
        lambda t, x: t.view(t.transpose(t.view(x, B, T, 2, 2), 1, 0, 2, 3), T, B, D),
        lambda x: x.view(B, T, 2, 2).transpose(0, 1).reshape(T, B, D),
    ),
    "transpose": (
        lambda t, x: t.unary("exp", t.transpose(x, 0, 2, 1), "exp"),
        lambda x: x.transpose(1, 2).exp(),
    ),
    "expand": (
        lambda t, x: t.unary("exp", t.expand("wide", t.view(x, B, ONE, T, D), B, 3, T, D), "exp"),
        lambda x: x[:, None].expand(B, 3, T, D).exp(),
    ),
    "expand to one, which is a sum over a new axis": (
        lambda t, x: t.unary("exp", t.expand("wide", x, 1, B, T, D), "exp"),
        lambda x: x.expand(1, B, T, D).exp(),
    ),
    "expand to one, which is nothing on an axis that there is": (
        lambda t, x: t.unary("exp", t.expand("wide", t.view(x, B, ONE, T, D), B, 1, T, D), "exp"),
        lambda x: x[:, None].expand(B, 1, T, D).exp(),
    ),
    "a slice": (lambda t, x: t.unary("exp", t.part(x, B, 2, D), "exp"), lambda x: x[:, :2].exp()),
    "halves": (
        lambda t, x: t.multiply("product", *t.parts(x, (B, T, D // 2), (B, T, D // 2))),
        lambda x: torch.mul(*x.chunk(2, dim=-1)),
    ),
    "one half": (
        lambda t, x: t.unary("exp", t.parts(x, (B, T, D // 2), (B, T, D // 2))[1], "exp"),
        lambda x: x.chunk(2, dim=-1)[1].exp(),
    ),
    "one of an axis": (lambda t, x: t.unary("exp", t.select(x, 1), "exp"), lambda x: x[:, 3].exp()),
    "filled up": (lambda t, x: t.pad("pad", x, B, T + 3, D), lambda x: functional.pad(x, (0, 0, 0, 3))),
    "cut to the lower triangle": (lambda t, x: t.lower("tril", x), lambda x: x.tril()),
    "cut to the upper triangle": (lambda t, x: t.upper("triu", x), lambda x: x.triu()),
    "from the other end": (lambda t, x: t.flip("flip", x), lambda x: x.flip(1)),
    "side by side": (
        lambda t, x: t.cat("cat", [x, t.unary("exp", x, "exp")], B, T, 2 * D),
        lambda x: torch.cat([x, x.exp()], dim=-1),
    ),
    "in one piece": (
        lambda t, x: t.copy("copy", t.transpose(x, 0, 2, 1)),
        lambda x: x.transpose(1, 2).contiguous(),
    ),
}


@pytest.mark.parametrize("name", MOVES)
def test_as_pytorch_does_it(name):
    check_the_same(*MOVES[name])


def summed(t, x):
    pieces, made, total = t.every(x, 1), [], t.constant("start", B, D)
    for i in t.loop(T):
        total = t.add("turn", total, pieces[i])
        made.append(total)
    return t.stack("stack", made, T)


def summed_in_torch(x):
    made, total = [], torch.zeros(B, D)
    for piece in x.unbind(1):
        total = total + piece
        made.append(total)
    return torch.stack(made, dim=1)


def test_pieces_of_a_loop_and_what_its_turns_made():
    check_the_same(summed, summed_in_torch)
