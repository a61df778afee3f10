"""What somebody else wrote is shown as it is: it steers no terminal, opens no tag, is computed by no spreadsheet."""

import csv
import io
import json

import pytest
from mutated_files import packed

from seqcost.errors import BadTarget
from seqcost.foreign import harmless, harmless_cell, harmless_json
from seqcost.report.table import Table, rows_to_csv

ESC, CSI = "\x1b]0;owned\x07\x1b[2J", "\x9b2J"
UNSEEN = ("\x00", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\r", "\n", "\ud800")
EVIL = ("a\\[/red]b", "x[/red]", "[bold]b", "[link=file:///etc]c", "a\\\\[/]", "[", "\\", ESC, CSI, "=1+1", "a\nb")
MODULE = """
import torch
class Raises(torch.nn.Linear):
    def forward(self, x):
        raise ValueError("a\\\\[/red]b [/dim] \\x1b[2J \\x9b \\u202e" + chr(10) + "second")
def make():
    return Raises(4, 4)
"""


def seen(text):
    return not any(sign in text for sign in UNSEEN if sign != "\n")


@pytest.mark.parametrize("sign", UNSEEN)
def test_what_cannot_be_seen_is_spelt(sign):
    text = harmless(f"a{sign}b")
    assert text.isprintable()
    assert text.encode("ascii").decode("unicode_escape") == f"a{sign}b"
    assert json.loads(harmless_json(json.dumps(f"a{sign}b", ensure_ascii=False))) == f"a{sign}b"
    assert str(BadTarget(f"a{sign}b")).isprintable()


@pytest.mark.parametrize("text", ["gpt2", "36864·T² + 3·⌈T/64⌉", "Größe, 長さ, متر", "a b", "😀", "\N{NO-BREAK SPACE}"])
def test_what_can_be_seen_stays(text):
    assert harmless(text) == text


@pytest.mark.parametrize("text", EVIL)
def test_a_table_shows_a_name_as_it_is(text):
    shown = Table.of(text, ("<name", "n"), [(text, "1")], note=text).to_text(80)
    assert seen(shown)
    assert "\n" in text or shown.count(harmless(text)) == 3


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1", "-A1(B2)", ESC]
)
def test_a_spreadsheet_computes_nothing(text):
    (row,) = csv.DictReader(io.StringIO(rows_to_csv([{"name": text, "n": -1}])))
    assert row["name"][0] not in "=+-@\t\r"
    assert seen(row["name"])
    assert row["n"] == "-1"


@pytest.mark.parametrize("value", ["-1/3·T² + 4·T", "-5", "+3", 7, None, -2.5, "T ≥ 8", "- 3·⌈T/64⌉"])
def test_amounts_stay_amounts(value):
    assert harmless_cell(value) == value


NAMES = [f"{text}.weight" for text in EVIL]


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "x[red]" / "[" / "red]"
    folder.mkdir(parents=True)
    header = {name: {"dtype": "U8", "shape": [1], "data_offsets": [n, n + 1]} for n, name in enumerate(NAMES)}
    path = folder / "model.safetensors"
    path.write_bytes(packed(header, len(NAMES)))
    return path


@pytest.mark.parametrize("options", [(), ("--csv",), ("--json",), ("--lines", "99")])
def test_the_command_shows_names_of_tensors(seqcost, weights, options):
    for target in (weights, weights.parent):
        ended = seqcost("count", str(target), *options)
        assert (ended.code, ended.err) == (0, "")
        assert seen(ended.out)
    if options == ("--json",):
        assert {line["name"] for line in ended.json["lines"]} == {name.removesuffix(".weight") for name in NAMES}


def test_an_unknown_name_is_quoted(seqcost):
    for words in (("count", ESC), ("count", "gpt2", "--" + ESC), (f"{CSI}[/red]",), ("count", "x[/red]/y")):
        ended = seqcost(*words)
        assert ended.code == 2
        assert seen(ended.err)
        assert ended.err.count("\n") == 1


def test_what_a_module_says_is_quoted(seqcost, tmp_path):
    (tmp_path / "raising.py").write_text(MODULE)
    for words in (("count", "raising:make"), ("compare", "raising:make", "lstm", "--measure", "--length", "8")):
        ended = seqcost(*words)
        assert "Traceback" not in ended.err
        assert seen(ended.err + ended.out)
