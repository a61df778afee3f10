"""Views of a count by the command: --by, --rank, --depth, --explain, --parquet."""

import csv
import io

import pytest

USERS = """
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(16, 64), nn.Linear(64, 16)
    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))

def model():
    return nn.Sequential(*(Block() for _ in range(5)))
"""


@pytest.fixture
def users(tmp_path):
    (tmp_path / "users.py").write_text(USERS, "utf-8")
    return "users:model"


VIEWS = [
    ["--by", "module"],
    ["--by", "module", "--rank", "params"],
    ["--by", "line", "--rank", "saved_bytes"],
    ["--explain", "flops"],
    ["--explain", "pointwise:blocks.feed_forward"],
    ["--explain", "bytes_moved"],
]


@pytest.mark.parametrize("words", VIEWS, ids=" ".join)
def test_a_view_fits_80_columns(seqcost, words):
    ended = seqcost("count", "gpt2", *words)
    assert ended.code == 0, ended.err
    assert max(map(len, ended.out.splitlines())) <= 80
    assert "blocks" in ended.out
    assert "100.0 %" in ended.out or "--by line" in " ".join(words)
    total = seqcost("count", "gpt2", "--json").json
    if words == ["--explain", "flops"]:
        assert f"{total['flops']:,}" in ended.out.split("step by step")[1]


def test_without_a_word_the_lines_are_shown_by_flops(seqcost):
    plain = seqcost("count", "gpt2")
    assert plain.out == seqcost("count", "gpt2", "--by", "line").out
    assert "by line" in plain.out
    assert plain.out != seqcost("count", "gpt2", "--rank", "saved_bytes").out


@pytest.mark.slow
def test_modules_and_operators_of_code(seqcost, users):
    ended = seqcost("count", users, "--by", "module")
    assert ended.code == 0, ended.err
    assert "0…4 (×5)" in ended.out
    assert "down" in ended.out
    assert "down" not in seqcost("count", users, "--by", "module", "--depth", "1").out
    assert "aten::addmm" in seqcost("count", users, "--by", "operator").out


def test_an_explanation_of_code_names_module_operator_and_sizes(seqcost, users):
    ended = seqcost("count", users, "--explain", "flops", "--length", "32")
    assert ended.code == 0, ended.err
    for text in ("0…4.up (×5)", "addmm", "5 × 2·m·k·n", "= 5 × 2·32·16·64", f"{5 * 2 * 2 * 32 * 16 * 64:,}"):
        assert text in ended.out


def test_json_has_a_key_for_what_was_asked(seqcost):
    data = seqcost("count", "gpt2", "--by", "module", "--explain", "flops:head", "--json").json
    assert data["view"]["by"] == "module"
    assert data["view"]["rows"][0]["flops"] == data["flops"]
    assert data["explanation"]["total"] == sum(step["amount"] for step in data["explanation"]["steps"])
    assert not {"view", "explanation"} & set(seqcost("count", "gpt2", "--json").json)


def test_csv_has_the_rows_of_what_was_asked(seqcost):
    rows = list(csv.DictReader(io.StringIO(seqcost("count", "gpt2", "--explain", "flops", "--csv").out)))
    assert sum(int(row["amount"]) for row in rows) == 291_648_307_200
    rows = list(csv.DictReader(io.StringIO(seqcost("count", "gpt2", "--by", "module", "--csv").out)))
    assert (rows[0]["name"], rows[0]["params"]) == ("", "124439808")


def test_parquet_has_the_rows_of_csv_and_they_are_exact(seqcost, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    ended = seqcost("count", "gpt2", "--length", "1k,10^30", "--parquet", "rows.parquet", "--csv")
    assert ended.code == 0, ended.err
    rows = parquet.read_table(tmp_path / "rows.parquet").to_pylist()
    texts = list(csv.DictReader(io.StringIO(ended.out)))
    assert [str(row["flops"]) for row in rows] == [text["flops"] for text in texts]
    assert int(rows[1]["flops"]) == 36864 * 10**60 + 247064064 * 10**30
    assert rows[0]["params"] == 124_439_808
    ended = seqcost("compare", "rnn-layer", "lstm-layer", "--lengths", "64", "--parquet", "points.parquet")
    assert ended.code == 0, ended.err
    assert "wrote points.parquet" in ended.out
    assert [row["target"] for row in parquet.read_table(tmp_path / "points.parquet").to_pylist()] == [
        "rnn-layer", "lstm-layer",
    ]  # fmt: skip
