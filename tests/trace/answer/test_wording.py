"""The words of an operator give the number that was booked, over every contraction that has a formula."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

import seqcost
from seqcost.algebra.work import Kernel, Row
from seqcost.trace.answer.wording import shapes_text, words_for
from seqcost.trace.operators.contractions import CONTRACTIONS

LETTERS = {
    "mm": (lambda x: x[0] @ x[0].T, "2·m·k·n", "2·6·4·6"),
    "bmm": (lambda x: x @ x.transpose(1, 2), "2·b·m·k·n", "2·2·6·4·6"),
    "mv": (lambda x: x[0] @ x[0, 0], "2·m·k", "2·6·4"),
    "dot": (lambda x: x[0, 0] @ x[0, 1], "2·n", "2·4"),
    "addmm": (lambda x: torch.addmm(x[0, 0], x[0], x[0, :4]), "2·m·k·n", "2·6·4·4"),
    "baddbmm": (lambda x: torch.baddbmm(x, x, x[:, :4]), "2·b·m·k·n", "2·2·6·4·4"),
    "addmv": (lambda x: torch.addmv(x[0, :, 0], x[0], x[0, 0]), "2·m·k", "2·6·4"),
    "addbmm": (lambda x: torch.addbmm(x[0], x, x[:, :4]), "2·b·m·k·n", "2·2·6·4·4"),
    "convolution": (
        lambda x: functional.conv1d(x.transpose(1, 2), torch.ones(8, 2, 3), groups=2),
        "2·elements of y·weights of a channel", "2·2·8·4·2·3",
    ),
    "_fft_r2c": (lambda x: torch.fft.rfft(x[0, 0]), "5/2·n·log₂ n·rows", "5/2·4·log₂ 4·1"),
    "_fft_c2c": (lambda x: torch.fft.fft(x[0, 0] + 0j), "5·n·log₂ n·rows", "5·4·log₂ 4·1"),
    "linalg_solve_triangular": (
        lambda x: torch.linalg.solve_triangular(x[0, :4], x[0, :4], upper=False), "n·elements of the result", "4·16"
    ),
    "_euclidean_dist": (
        lambda x: torch.cdist(x, x, compute_mode="use_mm_for_euclid_dist"), "2·pairs·(k + 2)", "2·72·(4 + 2)",
    ),
    "_cdist_forward": (lambda x: torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist"), "2·pairs·k", "2·72·4"),
    "_scaled_dot_product_flash_attention_for_cpu": (
        lambda x: functional.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None]),
        "2·B·H·T·S·(K + V)", "2·2·1·6·6·(4 + 4)",
    ),
}  # fmt: skip


class Runs(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def steps_of(module, x, phase="forward"):
    count = seqcost.count(module, inputs=(x,), length=x.shape[1], batch=x.shape[0], phase=phase)
    return count.derive("flops").steps


@pytest.mark.parametrize("operator", LETTERS)
def test_a_contraction_in_letters_and_numbers(operator):
    function, letters, numbers = LETTERS[operator]
    found = [step for step in steps_of(Runs(function), torch.randn(2, 6, 4)) if step.operator == f"aten::{operator}"]
    assert [(step.expression, step.numbers) for step in found] == [(letters, numbers)]


@pytest.mark.parametrize(
    "module",
    [
        nn.LSTM(4, 8, batch_first=True),
        nn.Sequential(nn.Conv1d(6, 6, 3), nn.GELU(), nn.ConvTranspose1d(6, 4, 3, groups=2)),
        nn.TransformerEncoderLayer(4, 2, 16, batch_first=True),
    ],
    ids=["lstm", "convolutions", "transformer"],
)
def test_a_training_step_is_in_words_throughout(module):
    steps = steps_of(module, torch.randn(2, 6, 4), "train")
    assert {step.direction for step in steps} == {"forward", "backward"}
    assert [step for step in steps if not step.expression] == []


def test_every_contraction_has_words():
    assert [name for name, known in CONTRACTIONS.items() if known.letters is None] == []


def test_words_that_give_another_number_are_not_shown():
    tensors = {"operands": (((6, 4), 4), ((4, 5), 4)), "results": (((6, 5), 4),)}
    right, wrong = (
        Row(name="aten::mm", kernel=Kernel.PRODUCT, launches=3, contraction=n, **tensors) for n in (3 * 240, 3 * 241)
    )
    assert words_for(right, "contraction").numbers == "2·6·4·5"
    assert words_for(wrong, "contraction").numbers == ""
    assert words_for(replace(right, name="mylib::mm"), "contraction").numbers == ""
    assert shapes_text(right) == "[6,4] [4,5] → [6,5]"


def test_bytes_say_which_tensors_they_are_of():
    count = seqcost.count(nn.Linear(4, 8), inputs=(torch.randn(2, 6, 4),), length=6, batch=2)
    (step,) = count.derive("bytes_moved").steps
    assert (step.expression, step.numbers) == ("operands + results", "4·(8 + 12·4 + 4·8 + 12·8)")
