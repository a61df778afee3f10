"""Parameters that took part in no operator, against gradients: autograd leaves those of unused parameters None."""

import pytest
import torch
from torch import nn

from seqcost.programs import Target
from seqcost.questions.answers.unused import unused_rows
from seqcost.questions.count import count
from seqcost.report.counts import remarks
from seqcost.trace import trace


class Branches(nn.Module):
    """Uses one of two branches, one of two tied heads, and a table that is only looked at."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(16, 8)
        self.left, self.right = nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        self.head = nn.Linear(8, 16, bias=False)
        self.head.weight = self.embedding.weight
        self.table = nn.Parameter(torch.zeros(4, 8))
        self.scale = nn.Parameter(torch.zeros(8))

    def forward(self, ids):
        assert self.table.shape[1] == 8
        return self.head(self.left(self.embedding(ids)) * self.scale.view(1, 1, 8))


def without_gradients(module, *inputs):
    module(*inputs).sum().backward()
    return {name: p.numel() for name, p in module.named_parameters() if p.grad is None}


@pytest.mark.parametrize("phase", ["forward", "train"])
def test_what_gets_no_gradient_took_no_part(phase):
    ids = torch.zeros(2, 5, dtype=torch.int64)
    found = trace(Target.of_module(Branches(), (ids,)), phase=phase, B=2, T=5)
    expected = without_gradients(Branches(), ids)
    assert sum(expected.values()) == 2 * (8 * 8 + 8) + 4 * 8
    assert found.unused == expected


@pytest.mark.parametrize(
    ("module", "x"),
    [
        (nn.LSTM(4, 4, bidirectional=True, batch_first=True), torch.zeros(1, 3, 4)),
        (nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), torch.zeros(1, 3, 8)),
        (nn.Sequential(nn.Conv1d(4, 4, 3, padding=1), nn.PReLU(), nn.GroupNorm(2, 4)), torch.zeros(1, 4, 3)),
    ],
)
@pytest.mark.parametrize("phase", ["forward", "train"])
def test_everything_takes_part(module, x, phase):
    assert trace(Target.of_module(module, (x,)), phase=phase, B=1, T=3).unused == {}


class Late(nn.Module):
    """A loop over time that takes the second layer from the twentieth step on, and never the third."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x):
        state = torch.zeros_like(x[:, 0])
        for t in range(x.shape[1]):
            state = self.layers[int(t >= 20)](state + x[:, t])
        return state


def test_a_length_that_was_derived_from_others():
    target = Target("late", lambda B, T: (Late(), (torch.zeros(B, T, 4),)), takes_sizes=True)
    found = trace(target, phase="forward", B=1, T=100_000, lengths=(24, 33, 40, 50))
    assert found.extrapolated
    assert found.unused == {"layers.2.weight": 16, "layers.2.bias": 4}


def test_the_outermost_module_stands_for_its_own():
    weights = {"a.b.w": (2, 3), "a.b.v": (3,), "a.c.w": (4,), "d": (5,), "e.w": (0,)}
    rows = unused_rows({"a.b.w": 6, "a.b.v": 3, "d": 5, "e.w": 0}, weights, 18)
    assert rows == ({"path": "a.b", "params": 9, "share": 0.5}, {"path": "d", "params": 5, "share": 5 / 18})
    assert unused_rows({"a.w": 1}, {"a.w": (1,)}, 1) == ({"path": "", "params": 1, "share": 1.0},)


def test_an_encoder_takes_no_part_in_a_step_and_the_answer_says_so():
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4, "vocab_size": 64}
    step = count("hf:t5", length=8, phase="decode", sizes=sizes).to_dict()
    # Keys and values of the source are in the cache; they are made once, not at every step.
    attention = "decoder.block.0.layer.1.EncDecAttention"
    assert {row["path"] for row in step["unused"]} == {"encoder", f"{attention}.k", f"{attention}.v"}
    note = next(note for note in remarks([step]) if "took part in no operator" in note)
    assert "encoder (" in note
    assert count("hf:t5", length=8, sizes=sizes).to_dict()["unused"] == []


def test_formulas_have_no_operators():
    assert "unused" not in count("gru", length=8).to_dict()
