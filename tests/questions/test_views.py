"""A count divided by module, operator or line: the parts add up, the order is that of the rank."""

import pytest
import torch
from torch import nn

import seqcost
from seqcost.errors import BadTarget, UnknownName
from seqcost.questions.answers.views import ranks


@pytest.fixture(scope="module")
def traced():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.Sequential(nn.Linear(16, 16), nn.TransformerEncoder(layer, 3))
    return seqcost.count(model, inputs=(torch.randn(2, 12, 16),), length=12, batch=2, phase="train")


@pytest.mark.parametrize("phase", ["forward", "train", "decode"])
@pytest.mark.parametrize("name", ["gpt2", "lstm"])
def test_modules_of_a_formula_add_up(name, phase):
    count = seqcost.count(name, length=64, phase=phase)
    whole, *parts = count.by("module").rows
    tops = [row for row in parts if "." not in row["name"]]
    for quantity in ranks():
        assert whole[quantity] == count.to_dict()[quantity]
        if whole[quantity] is not None:
            assert sum(row[quantity] for row in tops) == whole[quantity]
    assert not {"forward", "backward"} & {row["name"] for row in parts}, "both directions belong to one module"


def test_modules_of_a_trace_add_up(traced):
    rows = {row["name"]: row for row in traced.by("module").rows}
    for quantity in ranks():
        assert rows[""][quantity] == traced.to_dict()[quantity] > 0
        layers = [rows[f"1.layers.{i}"][quantity] for i in range(3)]
        assert sum(layers) == rows["1.layers"][quantity]
    assert rows["1.layers.0.linear1"]["params"] == 16 * 32 + 32


def test_operators_bear_their_names_and_calls(traced):
    found = traced.by("operator", "bytes_moved")
    for quantity in ranks("operator"):
        assert sum(row[quantity] for row in found.rows) == traced.to_dict()[quantity]
    moved = [row["bytes_moved"] for row in found.rows]
    assert moved == sorted(moved, reverse=True)
    by_name = {row["name"]: row for row in found.rows}
    assert by_name["aten::addmm"]["calls"] == 1 + 3 * 3  # a first layer; out_proj, linear1 and linear2 of three others
    assert by_name["aten::native_layer_norm_backward"]["calls"] == 3 * 2


@pytest.mark.parametrize("rank", ranks())
def test_lines_fall_by_their_rank(rank):
    found = seqcost.count("gpt2").by("line", rank)
    amounts = [row[rank] for row in found.rows]
    assert amounts == sorted(amounts, reverse=True)
    assert sum(amounts) == seqcost.count("gpt2").to_dict()[rank]


@pytest.mark.parametrize(
    ("by", "rank", "says"),
    [
        ("modules", "flops", "unknown way to divide a count 'modules': did you mean module?"),
        ("module", "flop", "unknown quantity to rank by 'flop': did you mean flops?"),
        ("operator", "params", "params is no cost of operators"),
        ("operator", "flops", "not the operators of PyTorch; trace the layer for them (trace=True, --trace)"),
    ],
)
def test_what_cannot_be_divided_is_one_sentence(by, rank, says):
    with pytest.raises((BadTarget, UnknownName)) as raised:
        seqcost.count("gpt2", phase="train").by(by, rank)
    assert says in str(raised.value)
