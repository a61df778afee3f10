"""Modules that round the length up: the blocks are found, the formulas are those of the maths wing, none is wrong."""

import pytest
import torch
from torch import nn
from torch.nn import functional

import seqcost
from seqcost.algebra import Kind
from seqcost.errors import TraceFailed
from seqcost.programs import Target
from seqcost.trace import trace
from seqcost.trace.blocks import curve, named_blocks, seen_blocks

QUANTITIES = ("flops", "pointwise", "bytes_moved", "saved_bytes", "depth")


def total(found, name):
    """One of QUANTITIES of a Trace."""
    bills = {
        "flops": lambda: found.flops.total(Kind.CONTRACTION),
        "pointwise": lambda: found.flops.total(Kind.POINTWISE),
        "bytes_moved": lambda: found.traffic.total(),
        "saved_bytes": lambda: found.saved.total(),
        "depth": lambda: found.depth,
    }
    return bills[name]()


def assert_never_wrong(target, lengths=(777, 1600), T=1000, phase="forward"):
    """Formulas of one trace against runs at lengths that it did not look at; the trace."""
    found = trace(target, phase=phase, B=1, T=T)
    for length in set(lengths) - set(found.lengths):
        run = trace(target, phase=phase, B=1, T=length, lengths=())
        for name in QUANTITIES:
            formula = found.polynomials.get(name)
            if formula is not None and formula.exact and length >= formula.valid_from:
                assert formula(length) == total(run, name), (name, length, str(formula))
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("gla", {"D": 32, "H": 2}),
        ("mamba2", {"D": 32}),
        ("window", {"D": 32, "H": 2, "W": 32}),
        ("lsh", {"D": 32, "H": 2}),
        ("retnet", {"D": 32, "H": 2}),
    ],
)
def test_a_chunked_layer_has_one_formula_by_both_ways(name, sizes):
    formula = seqcost.count(f"{name}-layer", length=1000, sizes=sizes).polynomials
    traced = seqcost.count(f"{name}-layer", length=1000, sizes=sizes, trace=True).polynomials
    in_blocks = 0
    for quantity in QUANTITIES:
        if not formula[quantity].exact:  # LSH sorts: n log n
            assert not traced[quantity].exact
            continue
        expected, found = formula[quantity].to_dict(), traced[quantity].to_dict()
        in_blocks += "blocks" in expected
        expected.pop("valid_from"), found.pop("valid_from")
        assert found == expected, quantity
    assert in_blocks >= 3


class Padded(nn.Module):
    """Scores within blocks of `size` tokens, the last one filled up; nothing is named after them."""

    def __init__(self, size):
        super().__init__()
        self.linear, self.size = nn.Linear(8, 8), size

    def forward(self, x):
        short = -x.shape[1] % self.size
        blocks = functional.pad(self.linear(x), (0, 0, 0, short)).unflatten(1, (-1, self.size))
        return (blocks @ blocks.mT @ blocks).flatten(1, 2)[:, : x.shape[1]]


class PaddedIfNeeded(Padded):
    """Copies only where there is something to fill up."""

    def forward(self, x):
        if x.shape[1] % self.size == 0:
            blocks = self.linear(x).unflatten(1, (-1, self.size))
            return (blocks @ blocks.mT @ blocks).flatten(1, 2)
        return super().forward(x)


@pytest.mark.parametrize("size", [5, 48, 100, 300])
def test_a_block_without_a_name_is_found_by_its_shapes(size):
    found = assert_never_wrong(Target.of_module(Padded(size)), T=1234)
    flops = found.polynomials["flops"]
    assert flops.blocks
    assert flops.blocks == (size,)
    assert flops(10**9 + 7) == 2 * 64 * (10**9 + 7) + 2 * 2 * 8 * size * size * -(-(10**9 + 7) // size)


def test_what_whole_blocks_save_is_no_formula_of_broken_ones():
    found = assert_never_wrong(Target.of_module(PaddedIfNeeded(16)), lengths=(64, 160, 777, 1600))
    assert found.polynomials["flops"].blocks
    assert not found.polynomials["bytes_moved"].exact


class Windowed(nn.Module):
    """Attends to the last `window` tokens: two branches, no rounding."""

    def __init__(self, window):
        super().__init__()
        self.linear, self.window = nn.Linear(8, 8), window

    def forward(self, x):
        y = self.linear(x)
        return y @ y[:, -self.window :].mT @ y[:, -self.window :]


def test_a_window_longer_than_the_usual_lengths_is_looked_beyond():
    found = assert_never_wrong(Target.of_module(Windowed(700)), lengths=(1600, 5000), T=100)
    flops = found.polynomials["flops"]
    assert flops.valid_from >= 700
    assert flops(5000) == 2 * 64 * 5000 + 2 * 2 * 8 * 700 * 5000


class LoopOverBlocks(Padded):
    """An operator or more for each block."""

    def forward(self, x):
        filled = functional.pad(self.linear(x), (0, 0, 0, -x.shape[1] % self.size))
        return torch.cat([y @ y.mT @ y for y in filled.split(self.size, 1)], 1)


def test_a_long_loop_over_blocks_is_not_followed():
    T = 10**6 + 1
    found = trace(Target.of_module(LoopOverBlocks(64)), phase="forward", B=1, T=T)
    assert T not in found.lengths
    assert found.flops.total(Kind.CONTRACTION) == 2 * 64 * T + 2 * 2 * 8 * 64 * 64 * -(-T // 64)


class Turncoat(nn.Module):
    """Gives its way of attending up for good at the first short sequence, as BigBird does."""

    def __init__(self):
        super().__init__()
        self.linear, self.attention_type = nn.Linear(8, 8), "sparse"

    def forward(self, x):
        if x.shape[1] < 200:
            self.attention_type = "full"
        y = self.linear(x)
        return y @ y.mT @ y if self.attention_type == "full" else y


def test_a_short_run_changes_nothing_for_a_long_one():
    assert trace(Target.of_module(Turncoat()), phase="forward", B=1, T=1000).flops.total(*Kind) == 2 * 64 * 1000 + 8000


SMALL = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 100}
FOREIGN = {
    "big_bird": SMALL | {"num_hidden_layers": 1, "block_size": 16, "max_position_embeddings": 5000},
    "longformer": SMALL | {"num_hidden_layers": 1, "attention_window": [16], "max_position_embeddings": 5000},
    "mamba2": {
        "num_hidden_layers": 1, "hidden_size": 32, "head_dim": 8, "num_heads": 8, "state_size": 8, "n_groups": 1,
        "chunk_size": 32, "vocab_size": 100,
    },
    "longt5": {
        "num_layers": 1, "d_model": 32, "num_heads": 4, "d_kv": 8, "d_ff": 64, "vocab_size": 100, "local_radius": 15,
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(FOREIGN))
def test_blocks_of_hugging_face_models(kind):
    pytest.importorskip("transformers")
    target = Target.of_spec({"kind": "hugging-face", "name": kind, "config": {"model_type": kind} | FOREIGN[kind]})
    found = assert_never_wrong(target)
    assert found.polynomials["flops"].blocks


class AsksInBlocks(Padded):
    """Needs real tensors, and blocks longer than what is run for real."""

    def __init__(self, size):
        super().__init__(size)
        self.block_size = size

    def forward(self, x):
        return super().forward(x) if x.sum().item() < 1e9 else x


def test_real_tensors_go_as_far_as_the_blocks():
    T = 10**5
    found = trace(Target.of_module(AsksInBlocks(512)), phase="forward", B=1, T=T)
    assert found.rung == "real tensors"
    assert found.flops.total(Kind.CONTRACTION) == 2 * 64 * T + 2 * 2 * 8 * 512 * 512 * -(-T // 512)


def test_blocks_out_of_reach_of_real_tensors_are_refused(monkeypatch):
    monkeypatch.setattr("seqcost.trace.ladder._MOST_REAL_FLOPS", 0)
    with pytest.raises(TraceFailed, match="name blocks of 512 tokens"):
        trace(Target.of_module(AsksInBlocks(512)), phase="forward", B=1, T=10**5)


def test_names_of_blocks():
    class Config:
        def to_dict(self):
            return {
                "attention_window": [32, 64], "chunk_size": 16, "local_radius": 127, "num_buckets": 48,
                "hidden_size": 9, "sliding_window": None, "window_pattern": 6,
            }  # fmt: skip

    module = nn.Sequential(nn.Linear(2, 2))
    module.config, module[0].block_size = Config(), 24
    assert named_blocks(module) == {16, 24, 32, 64, 128}


def test_shapes_of_blocks():
    assert seen_blocks({8: frozenset({16, 1, 3}), 50: frozenset({64, 4, 3})}) == [16]
    assert seen_blocks({8: frozenset({16, 1}), 15: frozenset({16, 1})}) == []  # any width of 16 would do


def test_a_curve_needs_whole_and_broken_blocks():
    broken = {n: 5 * n + (n % 8 != 0) for n in (9, 17, 33, 50, 61, 77, 83)}
    assert not curve(broken, [8]).exact
    assert curve({n: 5 * n for n in (9, 16, 33, 50, 61, 77, 83)}, [8]).exact
