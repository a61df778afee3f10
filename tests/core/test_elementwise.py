"""Operators element by element on the tape beside PyTorch's own: launches, operations, bytes, memory."""

import pytest
import torch
from tape_and_torch import B, D, T, check_the_same
from torch.nn import functional

from seqcost.formulas.core.functions import FUNCTIONS
from seqcost.formulas.core.values import ONE

IN_TORCH = {
    "neg": torch.neg,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu-tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "elu": functional.elu,
    "softplus": functional.softplus,
    "scale": lambda x: x * 2.0,
    "divide": lambda x: x / 2.0,
    "shift": lambda x: x + 2.0,
    "complement": lambda x: 2.0 - x,
    "scale-whole": lambda x: x * 2,
    "divide-whole": lambda x: x / 2,
    "shift-whole": lambda x: x + 2,
    "complement-whole": lambda x: 2 - x,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("function", [name for name in FUNCTIONS if name != "copy"])
def test_a_function_of_one_tensor(function, dtype):
    run = IN_TORCH.get(function) or getattr(torch, function)
    check_the_same(lambda t, x: t.unary("f", x, function), run, dtype)


BETWEEN = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
}


@pytest.mark.parametrize("name", BETWEEN)
def test_between_two(name):
    check_the_same(lambda t, x: getattr(t, name)("f", x, t.unary("exp", x, "exp")), lambda x: BETWEEN[name](x, x.exp()))


@pytest.mark.parametrize("name", BETWEEN)
def test_the_gradient_of_what_was_stretched_is_summed(name):
    check_the_same(
        lambda t, x: getattr(t, name)("f", x, t.unary("exp", t.parts(x, (B, ONE, D), (B, T - 1, D))[0], "exp")),
        lambda x: BETWEEN[name](x, x.split([1, T - 1], dim=1)[0].exp()),
    )


def test_a_product_added_in_one_kernel():
    check_the_same(
        lambda t, x: t.add_product("f", x, t.unary("exp", x, "exp"), t.unary("sin", x, "sin")),
        lambda x: torch.addcmul(x, x.exp(), x.sin()),
    )


def test_written_over_an_operand():
    check_the_same(lambda t, x: t.into("relu", t.unary("scale", x, "scale"), "relu"), lambda x: functional.relu_(x * 2))
    check_the_same(
        lambda t, x: t.plus_into("sum", t.unary("scale", x, "scale"), t.unary("exp", x, "exp")),
        lambda x: (x * 2).add_(x.exp()),
    )


def test_chosen_by_a_comparison():
    check_the_same(
        lambda t, x: t.choose(
            "where", t.compare("compare", x, operator="gt"), t.unary("exp", x, "exp"), t.unary("sin", x, "sin")
        ),
        lambda x: torch.where(x > 0, x.exp(), x.sin()),
    )
