"""Equal layers multiplied, against the full trace: every number, row and moment of memory; layers that only seem so."""

import itertools
import random

import pytest
import torch
from torch import nn

from seqcost.programs import Target
from seqcost.questions.targets.resolve import resolve
from seqcost.trace import trace
from seqcost.trace.quick.skipping import Skipping

D, LAYERS = 8, 8
PHASES = ("forward", "train", "prefill", "decode")
STEP = {"phase": "train", "optimizer": "adamw", "accumulate": 3}


def told(found):
    """All that a trace answers."""
    return found.to_dict() | {
        "rows": found.rows, "timeline": found.timeline, "categories": found.timeline_categories,
        "weights": found.weights, "trained": found.trained, "conventions": found.conventions,
    }  # fmt: skip


@pytest.fixture
def left_out(monkeypatch):
    """Trace a target quickly and in full; the number of layers that were left out, if all else is the same."""

    def compare(make, **asked):
        count = 0
        plain = Skipping._leave_out

        def counting(self, *args):
            nonlocal count
            count += 1
            return plain(self, *args)

        with monkeypatch.context() as patch:
            patch.setattr(Skipping, "_leave_out", counting)
            quick = told(trace(make(), **asked))
        with monkeypatch.context() as patch:
            patch.setattr("seqcost.trace.rungs.stacks_of", lambda module: [])
            full = told(trace(make(), **asked))
        for name, value in full.items():
            assert quick[name] == value, name
        return count

    return compare


OURS = {
    "gpt2": {"L": LAYERS, "D": D, "H": 2, "U": 32},
    "llama-3-8b": {"L": LAYERS, "D": D, "H": 2, "G": 1, "F": 12, "U": 32},
    "mamba-130m": {"L": LAYERS, "D": D, "U": 32},
}


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("name", OURS)
def test_models_of_ours(left_out, name, phase):
    make = lambda: resolve(name, OURS[name]).recipe()  # noqa: E731
    assert left_out(make, phase=phase, B=2, T=24, lengths=()) >= LAYERS - 4


@pytest.mark.parametrize("name", ["gpt2", "llama-3-8b"])
def test_a_whole_step_of_an_optimizer(left_out, name):
    make = lambda: resolve(name, OURS[name]).recipe()  # noqa: E731
    assert left_out(make, B=2, T=24, lengths=(), **STEP) == 2 * (LAYERS - 4)


def test_all_lengths_that_a_formula_takes(left_out):
    make = lambda: resolve("gpt2", OURS["gpt2"]).recipe()  # noqa: E731
    assert left_out(make, phase="forward", B=2, T=40) >= 2 * (LAYERS - 4)


SMALL = {
    "num_hidden_layers": LAYERS, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 64,
}  # fmt: skip
THEIRS = {
    "llama": {},
    "qwen3": {},
    "bert": {},
    "gpt2": {"n_layer": LAYERS, "n_embd": 32, "n_head": 4},
    "mistral": {"sliding_window": 5},  # its cache keeps a tensor of each layer, which none differentiates
    "mixtral": {"num_local_experts": 4},
    "gemma2": {"num_hidden_layers": 12},
}


@pytest.mark.parametrize("phase", ["forward", "train", "decode"])
@pytest.mark.parametrize("kind", THEIRS)
def test_models_of_transformers(left_out, kind, phase):
    if kind == "bert" and phase == "decode":
        pytest.skip("it sees the future")
    config = {"model_type": kind} | SMALL | THEIRS[kind]
    make = lambda: Target.of_spec({"kind": "hugging-face", "name": kind, "config": config, "sizes": {}})  # noqa: E731
    passes = 2 if phase == "forward" else 1  # what it would keep for backward is seen by itself
    assert left_out(make, phase=phase, B=2, T=12, lengths=()) == passes * (LAYERS - 4)


class Block(nn.Module):
    def __init__(self, width=D, act=True, inner=16):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, inner), nn.Linear(inner, width)
        self.act = act

    def forward(self, x):
        y = self.up(self.norm(x))
        return x + self.down(y.relu() if self.act else y)


class Stack(nn.Module):
    def __init__(self, blocks):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.head = nn.Linear(D, D)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Counting(Block):
    calls = 0

    def forward(self, x):
        self.calls = self.calls + 1
        return super().forward(x)


HEARD = {"calls": 0}


class Global(Block):
    def forward(self, x):
        HEARD["calls"] += 1
        return super().forward(x) if HEARD["calls"] % 7 else super().forward(x).tanh()


class Iterating(Block):
    numbers = itertools.cycle(range(7))

    def forward(self, x):
        return super().forward(x) if next(self.numbers) else super().forward(x).tanh()


class Numbered(Block):
    def __init__(self, number):
        super().__init__()
        self.number = number

    def forward(self, x):
        return super().forward(x).tanh() if self.number == LAYERS - 3 else super().forward(x)


class Throwing(Block):
    def forward(self, x):
        return super().forward(x).tanh() if random.random() < 0.3 else super().forward(x)


class Tangled(Stack):
    """The outputs of all layers are kept, and one is used again."""

    def forward(self, x):
        seen = []
        for block in self.blocks:
            x = block(x)
            seen.append(x)
        return self.head(x + seen[5])


class Between(Stack):
    def forward(self, x):
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index == 5:
                x = x.tanh()
        return self.head(x)


class Beside(Stack):
    def forward(self, x):
        return self.head(sum(block(x) for block in self.blocks))


class Backwards(Stack):
    def forward(self, x):
        for block in reversed(self.blocks):
            x = block(x)
        return self.head(x)


def changed(index, change):
    def make():
        blocks = [Block() for _ in range(LAYERS)]
        blocks[index] = change(blocks[index])
        return Stack(blocks)

    return make


def hooked(block):
    block.register_forward_hook(lambda module, args, result: result.tanh())
    return block


def frozen(block):
    block.up.weight.requires_grad_(False)
    return block


def with_a_buffer(block):
    block.register_buffer("more", torch.zeros(3))
    return block


def tied():
    blocks = [Block() for _ in range(LAYERS)]
    for block in blocks:
        block.up.weight = blocks[0].up.weight
    return Stack(blocks)


UNEQUAL = {
    "width": changed(5, lambda _: Block(inner=24)),
    "flag": changed(5, lambda _: Block(act=False)),
    "hook": changed(5, hooked),
    "frozen": changed(5, frozen),
    "buffer": changed(5, with_a_buffer),
    "mode": changed(5, lambda block: block.eval()),
    "tied": tied,
    "counter": lambda: Stack([Counting() for _ in range(LAYERS)]),
    "global": lambda: Stack([Global() for _ in range(LAYERS)]),
    "iterator": lambda: Stack([Iterating() for _ in range(LAYERS)]),
    "number": lambda: Stack([Numbered(i) for i in range(LAYERS)]),
    "chance": lambda: Stack([Throwing() for _ in range(LAYERS)]),
    "tangled": lambda: Tangled([Block() for _ in range(LAYERS)]),
    "between": lambda: Between([Block() for _ in range(LAYERS)]),
    "beside": lambda: Beside([Block() for _ in range(LAYERS)]),
    "backwards": lambda: Backwards([Block() for _ in range(LAYERS)]),
}


@pytest.mark.parametrize("phase", ["forward", "train"])
@pytest.mark.parametrize("name", UNEQUAL)
def test_layers_that_only_seem_equal(left_out, name, phase):
    module = UNEQUAL[name]()

    def make():
        random.seed(1)
        HEARD["calls"] = 0
        Iterating.numbers = itertools.cycle(range(7))
        return Target.of_module(module, (torch.randn(2, 6, D),))

    left_out(make, phase=phase, lengths=())


@pytest.mark.parametrize("phase", ["forward", "train"])
def test_equal_layers_are_left_out(left_out, phase):
    module = Stack([Block() for _ in range(LAYERS)])
    make = lambda: Target.of_module(module, (torch.randn(2, 6, D),))  # noqa: E731
    assert left_out(make, phase=phase, lengths=()) == (LAYERS - 4) * (2 if phase == "forward" else 1)


@pytest.mark.parametrize("phase", ["forward", "train"])
def test_a_pattern_of_layers_is_left_out_in_units(left_out, phase):
    module = Stack([Block(act=i % 3 > 0) for i in range(15)])
    make = lambda: Target.of_module(module, (torch.randn(2, 6, D),))  # noqa: E731
    assert left_out(make, phase=phase, lengths=()) == 3 * (2 if phase == "forward" else 1)
