"""A table that is looked up by position and ends before T is named, on either rung; others are not.

What is right is what a real run does: it raises IndexError at the length asked for, or it does not.
"""

import pytest
import torch
from torch import nn

import seqcost
from seqcost.errors import TraceFailed
from seqcost.programs import Target
from seqcost.trace import trace

ROWS = 48


class Positions(nn.Module):
    """Words and positions, added; `where(ids)` are the numbers of the positions."""

    def __init__(self, where, vocabulary=7):
        super().__init__()
        self.words, self.positions, self.where = nn.Embedding(vocabulary, 4), nn.Embedding(ROWS, 4), where

    def forward(self, ids):
        return self.words(ids) + self.positions(self.where(ids))


def plain(ids):
    return torch.arange(ids.shape[1])


def from_two_on(ids):
    return torch.arange(ids.shape[1]).add(2).expand(ids.shape)


def of_a_mask(ids):
    return torch.ones(ids.shape).cumsum(1).long() - 1


def without_padding(ids):
    mask = ids.ne(99).int()
    return (mask.cumsum(1) * mask).long() - 1


def written_in_place(ids):
    rows = torch.zeros(ids.shape[1], dtype=torch.long)
    rows += torch.arange(ids.shape[1])
    return rows


def clamped(ids):
    return plain(ids).clamp(max=ROWS - 1)


def clamped_through_a_view(ids):
    rows = plain(ids)
    rows.view(1, -1).clamp_(max=ROWS - 1)
    return rows


def written_over(ids):
    rows = plain(ids)
    rows.view(-1).copy_(ids[0])  # nobody knows what these are
    return rows


def of_the_words(ids):
    return ids % 2


RUNNING = [plain, from_two_on, of_a_mask, without_padding, written_in_place]
STANDING = [clamped, clamped_through_a_view, written_over, of_the_words]


def fails(where, T):
    """Whether a real run does."""
    try:
        Positions(where)(torch.zeros(2, T, dtype=torch.long))
    except IndexError:
        return True
    return False


@pytest.mark.parametrize("where", RUNNING + STANDING)
@pytest.mark.parametrize("T", [ROWS - 3, ROWS, ROWS + 1, 300])
def test_named_where_a_real_run_fails(where, T):
    said = trace(Target.of_module(Positions(where)), phase="forward", B=2, T=T).conventions.get("positions", "")
    assert bool(said) == fails(where, T), said
    if said:
        assert said.startswith(f"T = {T} asks for row ")
        assert said.endswith("of positions, a table of rows 0 to 47: the count goes on, a real run fails")


@pytest.mark.parametrize("T", [ROWS, ROWS + 1])
@pytest.mark.parametrize("phase", ["forward", "train"])
def test_inputs_that_came_with_the_module(T, phase):
    ids = torch.zeros(2, T, dtype=torch.long)
    said = trace(Target.of_module(Positions(plain), (ids,)), phase=phase).conventions.get("positions")
    assert (said is not None) == fails(plain, T)


def test_on_real_tensors():
    def asked_for_values(ids):
        return plain(ids) + int(ids.max() > 99)

    target = Target.of_module(Positions(asked_for_values))
    assert "positions" not in trace(target, phase="forward", T=ROWS).conventions
    with pytest.raises(TraceFailed, match="IndexError, index out of range"):
        trace(target, phase="forward", T=ROWS + 1)


def test_a_small_vocabulary_is_no_table_of_positions():
    module = Positions(clamped, vocabulary=2)
    assert "positions" not in trace(Target.of_module(module), phase="forward", B=1, T=64).conventions


@pytest.mark.parametrize(("name", "row", "rows"), [("gpt2", 1024, 1024), ("opt", 2050, 2050), ("roberta", 512, 512)])
def test_models_of_the_transformers_package(name, row, rows):
    pytest.importorskip("transformers")
    first = row - {"opt": 2, "roberta": 2}.get(name, 0)  # their positions begin at two
    assert [said_of(name, first), bool(said_of(name, first + 1))] == [None, True]
    assert f"row {row:,} of" in said_of(name, first + 1)
    assert f"0 to {rows - 1:,}" in said_of(name, first + 1)


SMALL = {"num_hidden_layers": 1, "hidden_size": 16, "num_attention_heads": 2, "vocab_size": 64}


def said_of(name, T):
    return seqcost.count(f"hf:{name}", length=T, sizes=SMALL).conventions.get("positions")


def test_where_the_length_itself_is_not_run():
    pytest.importorskip("transformers")  # BERT cuts its table, so that fake tensors do not go beyond it either
    found = seqcost.count("hf:bert", length=100_000, sizes={"num_hidden_layers": 1})
    assert found.seen_to < 512
    said = found.conventions["positions"]
    assert "row 99,999 of bert.embeddings.position_embeddings, a table of rows 0 to 511" in said
