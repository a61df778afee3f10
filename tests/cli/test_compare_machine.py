"""`seqcost compare --machine` from outside."""

import csv
import io

import pytest
from toy_machine import machine

from seqcost.machines import write

ASKED = ("compare", "rnn-layer", "attention-layer", "--lengths", "64..1k", "--width", "64", "--machine")


def test_predicted_times_and_their_crossover_at_80_columns(seqcost, tmp_path):
    write(machine(), tmp_path / "toy.toml")
    ended = seqcost(*ASKED, str(tmp_path / "toy.toml"))
    assert ended.code == 0, ended.err
    assert max(map(len, ended.out.splitlines())) <= 80
    for words in ("predicted for toy@2026", "bound by", "predicted time", "counts once"):
        assert words in " ".join(ended.out.split())


def test_csv_and_the_page_have_them_too(seqcost, tmp_path):
    write(machine(), tmp_path / "toy.toml")
    rows = list(csv.DictReader(io.StringIO(seqcost(*ASKED, str(tmp_path / "toy.toml"), "--csv").out)))
    assert all(row["predicted_s"] for row in rows)
    ended = seqcost(*ASKED, str(tmp_path / "toy.toml"), "--out", "page")
    assert ended.code == 0, ended.err
    assert "predicted for toy@2026" in (tmp_path / "page" / "index.html").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [(("h99",), "unknown machine 'h99'"), (("h100", "--dtype", "float64"), "h100 has no peak for float64")],
)
def test_bad_input_is_one_sentence(seqcost, words, said):
    ended = seqcost(*ASKED, *words)
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) == 1
