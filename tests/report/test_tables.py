import csv
import io

import pytest
from rich.console import Console

import seqcost
from seqcost.report.table import Table, rows_to_csv


def shown(table, width=80):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(table)
    return console.file.getvalue()


TABLE = Table.of("costs", ("<who", "FLOPs"), [("a|b", "12"), ("q [B,T]", "3")], note="per token")


def test_a_table_in_the_terminal_keeps_brackets():
    text = shown(TABLE)
    assert "costs" in text
    assert "q [B,T]" in text
    assert "per token" in text


def test_markdown_escapes_its_own_sign():
    assert TABLE.to_markdown().splitlines() == [
        "| who | FLOPs |", "|---|---:|", r"| a\|b | 12 |", "| q [B,T] | 3 |",
    ]  # fmt: skip


def test_html_is_escaped():
    page = Table.of("a<b", ("<x",), [("<script>",)]).to_html()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_csv_has_the_union_of_columns():
    rows = list(csv.DictReader(io.StringIO(rows_to_csv([{"a": 1}, {"a": 2, "b": "x,y"}]))))
    assert rows == [{"a": "1", "b": ""}, {"a": "2", "b": "x,y"}]


def test_words_give_way_before_numbers_do():
    rows = [(f"some.rather.long.path.of.a.module.{i}", "291,648,307,200", "15.5 GFLOP", "1") for i in range(2)]
    text = shown(Table.of("", ("<module", "FLOPs", "share", "a heading of words"), rows), width=60)
    assert text.count("291,648,307,200") == text.count("15.5 GFLOP") == 2
    assert text.count(".module.0 ") == text.count(".module.1 ") == 1, "the end of a path says which it is"
    assert max(map(len, text.splitlines())) <= 60


@pytest.mark.parametrize("ask", ["diff", "compare"])
def test_an_answer_is_printed_as_tables(ask):
    answer = (
        seqcost.diff("lstm-layer", "gru-layer", length=8)
        if ask == "diff"
        else seqcost.compare(["lstm-layer", "gru-layer"], lengths=[8], trace=False)
    )
    text = str(answer)
    assert "FLOPs" in text
    assert "lstm-layer" in text
    assert "Count(" not in text
    assert all(len(line) <= 100 for line in text.splitlines())
