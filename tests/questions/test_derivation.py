"""A number explained adds up to the number, whatever it is of and wherever from."""

import dataclasses
import json

import pytest
import torch
from torch import nn

import seqcost
from seqcost.algebra.quantity import QUANTITIES, Told
from seqcost.errors import BadTarget, UnknownName
from seqcost.formulas.catalogue import CATALOGUE
from seqcost.questions.answers.count import Bills
from seqcost.questions.answers.written import put_in


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.linear1, self.linear2 = nn.LayerNorm(16), nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        return x + self.linear2(torch.relu(self.linear1(self.norm(x))))


class Small(nn.Module):
    """Two equal layers and a head."""

    def __init__(self):
        super().__init__()
        self.h = nn.ModuleList(Block() for _ in range(2))
        self.head = nn.Linear(16, 5)

    def forward(self, x):
        for layer in self.h:
            x = layer(x)
        return self.head(x)


@pytest.fixture(scope="module", params=["forward", "train"])
def traced(request):
    inputs = (torch.randn(2, 12, 16),)
    optimizer = "adamw" if request.param == "train" else None
    accumulate = 3 if request.param == "train" else 1
    return seqcost.count(
        Small(), inputs=inputs, length=12, batch=2, phase=request.param, optimizer=optimizer, accumulate=accumulate
    )


@pytest.mark.parametrize("phase", ["forward", "train", "prefill", "decode"])
@pytest.mark.parametrize("name", ["gpt2", "lstm", "mamba", "transformer-base", "bigbird"])
def test_the_lines_of_a_formula_add_up(name, phase):
    if name == "bigbird" and phase in ("prefill", "decode"):
        pytest.skip("it sees the future")
    count = seqcost.count(name, length=96, batch=3, phase=phase)
    for quantity in QUANTITIES.names(Told.COUNT):
        whole = count.to_dict()[quantity]
        if whole is None:
            with pytest.raises(BadTarget, match=f"{quantity} of {name} is not known"):
                count.derive(quantity)
            continue
        found = count.derive(quantity)
        assert found.total == found.whole == whole
        assert sum(step.amount for step in found.steps) == whole


@pytest.mark.parametrize("name", sorted(name for name in CATALOGUE if name.endswith("-layer")))
def test_every_layer_is_written_in_letters(name):
    found = seqcost.count(name, length=512).derive("flops")
    assert any(step.expression for step in found.steps)


def test_a_line_in_letters_and_with_the_sizes_put_in():
    found = seqcost.count("gpt2", length=1024).derive("flops", "blocks.attention.attend")
    (step,) = found.steps
    assert step.expression == "4·B·L·H·K·T²"
    assert step.numbers == "4·1·12·12·64·1024²"
    assert step.amount == 4 * 12 * 64 * 12 * 1024**2 == found.total
    assert found.whole == 291_648_307_200


def test_sizes_are_put_in_for_letters_and_not_for_words():
    assert put_in("⌈T/C⌉·log₂ T + Max(T, 3)", {"T": 8, "C": 4, "M": 2, "a": 1}) == "⌈8/4⌉·log₂ 8 + Max(8, 3)"


@pytest.mark.parametrize("quantity", [name for name in QUANTITIES.names(Told.COUNT) if name != "state_bytes"])
def test_the_operators_of_a_trace_add_up(traced, quantity):
    found = traced.derive(quantity)
    assert found.total == found.whole == traced.to_dict()[quantity] > 0
    assert json.loads(json.dumps(found.to_dict()))["total"] == found.total


def test_a_trace_says_how_each_product_came_about(traced):
    steps = traced.derive("flops", "h.1.linear1").steps
    forward = next(step for step in steps if step.direction in ("", "forward"))
    assert (forward.operator, forward.expression, forward.numbers) == ("aten::addmm", "2·m·k·n", "2·24·16·32")
    assert forward.shapes == "[32] [24,16] [16,32] → [24,32]"
    assert forward.amount == forward.calls * 2 * 24 * 16 * 32
    assert forward.calls == traced.accumulate


def test_a_path_keeps_to_what_is_below_it(traced):
    parts = [traced.derive("flops", path).total for path in ("h.0", "h.1", "head")]
    assert sum(parts) == traced.flops
    assert parts[0] == parts[1] > parts[2] > 0


def test_the_peak_is_what_was_alive(traced):
    found = traced.derive("peak_bytes")
    by_name = {}
    for step in found.steps:
        by_name[step.operator] = by_name.get(step.operator, 0) + step.amount
    assert by_name == {name: size for name, size in traced.memory["categories"].items() if size}
    assert "alive in" in found.steps[0].note
    with pytest.raises(BadTarget, match="no part under a path"):
        traced.derive("peak_bytes", "h")


def test_a_run_that_was_derived_from_shorter_ones_adds_up_too():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Linear(8, 8)

        def forward(self, x):
            state = torch.zeros(x.shape[0], 8)
            for t in range(x.shape[1]):
                state = torch.tanh(self.cell(state) + x[:, t])
            return state

        @staticmethod
        def example_inputs(batch, length):
            return (torch.randn(batch, length, 8),)

    count = seqcost.count(Loop(), length=5000)
    (step,) = count.derive("flops").steps
    assert step.amount == count.flops == 5000 * 2 * 8 * 8
    assert (step.calls, step.numbers, step.note) == (5000, "2·1·8·8", "")  # each as a step of a run that is followed


def test_launches_of_shapes_that_are_not_known_say_so():
    class Prefixes(nn.Module):
        def forward(self, x):
            state = torch.zeros(x.shape[0], 8)
            for t in range(x.shape[1]):
                state = torch.tanh(state + x[:, : t + 1].sum(1))
            return state

        @staticmethod
        def example_inputs(batch, length):
            return (torch.randn(batch, length, 8),)

    steps = seqcost.count(Prefixes(), length=5000).derive("pointwise").steps
    assert {step.operator: "shorter runs" in step.note for step in steps} == {
        "aten::sum": True, "aten::add": False, "aten::tanh": False
    }  # fmt: skip


@pytest.mark.parametrize(
    ("quantity", "path", "says"),
    [
        ("flop", "", "unknown quantity 'flop': did you mean flops?"),
        ("flops", "h.1.linear", "no part of flops lies under 'h.1.linear': did you mean h.1.linear"),
        ("flops", "linear2", "did you mean h.0.linear2 or h.1.linear2?"),
        ("flops", "zzz", "no part of flops lies under 'zzz': choose one that begins with h, head."),
        ("state_bytes", "", "is not known: the module carries no state that a trace can see."),
    ],
)
def test_what_cannot_be_told_is_one_sentence(traced, quantity, path, says):
    with pytest.raises((UnknownName, BadTarget), match=r"\A[^\n]*\Z") as raised:
        traced.derive(quantity, path)
    assert says in str(raised.value)


def test_a_count_put_together_by_hand_says_that_it_cannot_tell():
    by_hand = dataclasses.replace(seqcost.count("gpt2"), origin=None)
    with pytest.raises(BadTarget, match="does not say how it was made"):
        by_hand.derive("flops")


def test_steps_that_do_not_add_up_are_never_shown():
    count = seqcost.count("gpt2")
    fewer = dataclasses.replace(
        count.origin, bills=Bills(**{**count.bills.named, "flops": count.bills.flops.select("head")})
    )
    with pytest.raises(AssertionError, match="add up to"):
        dataclasses.replace(count, origin=fewer).derive("flops")


def test_letters_that_give_another_number_are_not_shown():
    count = seqcost.count("gpt2")
    other = Bills(**{**count.bills.named, "flops": count.bills.flops.map(lambda amount: amount + 1)})
    steps = dataclasses.replace(count.origin, bills=other).steps("flops")
    assert [(step.expression, step.numbers) for step in steps] == [("", "")] * len(steps)
