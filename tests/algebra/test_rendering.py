"""How amounts and Bills look; nothing here computes."""

import json
from fractions import Fraction

import pytest

from seqcost.algebra import Bill, Kind, Line, ceil_div, sweep, symbols
from seqcost.algebra.expr import ceil_log2
from seqcost.algebra.rendering import formula_to_text, plain, scaled, seconds, size_to_text

B, D, H, T = symbols("BDHT").values()
SCORES = Bill.of(Kind.CONTRACTION, project_query=(2 * B * T * D**2, "x W_q"), scores=(2 * B * D * T**2, "q kᵀ"))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "FLOP", "0 FLOP"),
        (1, "FLOP", "1 FLOP"),
        (999, "FLOP", "999 FLOP"),
        (999.9, "FLOP", "1 kFLOP"),
        (1000, "FLOP", "1 kFLOP"),
        (1234, "FLOP", "1.23 kFLOP"),
        (999_499, "FLOP", "999 kFLOP"),
        (999_999, "FLOP", "1 MFLOP"),
        (291_648_307_200, "FLOP", "292 GFLOP"),
        (3.14e23, "FLOP", "314 ZFLOP"),
        (10**30, "FLOP", "1 QFLOP"),
        (999 * 10**30, "FLOP", "999 QFLOP"),
        (10**36, "FLOP", "1.00e+36 FLOP"),
        (-1500, "FLOP", "-1.5 kFLOP"),
        (Fraction(1, 3), "FLOP", "0.333 FLOP"),
        (float("inf"), "s", "inf s"),
        (float("nan"), "s", "nan s"),
        (124_439_808, "", "124 M"),
        (0, "byte", "0 B"),
        (1023, "byte", "1023 B"),
        (1024, "byte", "1 KiB"),
        (1000 * 2**20, "byte", "1000 MiB"),
        (1023.4 * 2**30, "byte", "1023 GiB"),
        (1023.99 * 2**30, "byte", "1 TiB"),
        (4_718_592, "B", "4.5 MiB"),
    ],
    ids=str,
)
def test_scaled(value, unit, text):
    assert scaled(value, unit) == text


def test_a_number_beyond_all_floats_is_shown():
    assert scaled(Fraction(2 * 10**400, 3), "FLOP") == "6.67e+399 FLOP"
    assert scaled(123456 * 10**1000, "B") == "1.23e+1005 B"


def test_scaled_to_more_digits():
    assert scaled(291_648_307_200, "FLOP", digits=5) == "291.65 GFLOP"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ns"),
        (3.2e-10, "0.32 ns"),
        (0.0000021, "2.1 µs"),
        (0.00213, "2.13 ms"),
        (0.0009999, "1 ms"),
        (0.9994, "999 ms"),
        (0.99951, "1 s"),
        (0.1234, "123 ms"),
        (1.0, "1 s"),
        (59.96, "60 s"),
        (123456.0, "123000 s"),
    ],
    ids=str,
)
def test_seconds(value, text):
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (291648307200, "291,648,307,200"),
        (10**30, "1,000,000,000,000,000,000,000,000,000,000"),
        (Fraction(6, 2), "3"),
        (Fraction(1, 2), "1/2"),
        (sweep([63, 100]), "63 … 100 (2 points)"),
        (4 * B * D * T**2, "4·B·D·T²"),
    ],
    ids=str,
)
def test_size_to_text(size, text):
    assert size_to_text(size) == text


def test_formulas_are_written_highest_powers_first_and_factored_where_shorter():
    assert formula_to_text(4 * B * D * T**2 + 24 * B * D**2 * T) in {
        "24·B·D²·T + 4·B·D·T²",
        "4·B·D·T·(6·D + T)",
    }
    assert formula_to_text(T**5 - T) == "T^5 - T"
    assert formula_to_text(T * ceil_log2(T)) == "T·⌈log₂ T⌉"
    assert formula_to_text((B + D) * (H + T) * (B + T)) == "(B + D)·(B + T)·(H + T)"


def test_text():
    assert str(Bill.of(Kind.STATE, keys=(1024, "k of every token"), values=64)) == (
        "keys    1,024  k of every token\n"
        "values     64\n"
        "total   1,088  byte"
    )  # fmt: skip


def test_text_of_nothing():
    assert str(Bill()) == "total  0"


def test_latex():
    assert SCORES.to_latex() == (
        "\\begin{aligned}\n"
        "\\text{project\\_query} &= 2 B D^{2} T \\\\\n"
        "\\text{scores} &= 2 B D T^{2} \\\\\n"
        "\\text{total} &= 2 B D^{2} T + 2 B D T^{2}\n"
        "\\end{aligned}"
    )
    assert SCORES._repr_latex_() == f"$${SCORES.to_latex()}$$"
    assert r"1\,000\,000" in Bill.of(Kind.STATE, keys=10**6).to_latex()


def test_html_escapes_what_it_is_given():
    html = Bill([Line("<b>scores", 12, Kind.STATE, 'a "quote" & more')]).to_html()
    assert html == (
        '<table class="bill"><tbody>'
        "<tr><td>&lt;b&gt;scores</td><td>12</td><td>a &quot;quote&quot; &amp; more</td></tr>"
        "</tbody><tfoot><tr><th>total</th><th>12</th><th>byte</th></tr></tfoot></table>"
    )
    assert Bill()._repr_html_() == Bill().to_html()


def test_dict_is_json_with_exact_numbers_of_any_size():
    bill = Bill.of(Kind.CONTRACTION, scores=(10**30 + 1, "q kᵀ"), head=Fraction(1, 3))
    data = bill.to_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["lines"][0] == {"name": "scores", "kind": "contraction", "amount": 10**30 + 1, "note": "q kᵀ"}
    assert data["lines"][1] == {"name": "head", "kind": "contraction", "amount": "1/3"}
    assert data["total"] == str(10**30 + 1 + Fraction(1, 3))


def test_dict_of_formulas_and_sweeps():
    assert SCORES.to_dict()["lines"][1]["amount"] == "2*B*D*T**2"
    swept = Bill.of(Kind.STATE, keys=sweep([2**70, 1], exact=True)).to_dict()
    assert swept["total"] == [2**70, 1]
    json.dumps(swept)


def test_plain_leaves_ints_alone():
    assert [plain(3), plain(Fraction(4, 2)), plain(Fraction(1, 2)), plain(T + 1)] == [3, 2, "1/2", "T + 1"]


def test_rounding_up_is_written_with_brackets():
    C = symbols("C")["C"]
    assert formula_to_text(B * C * ceil_div(T, C)) == "B·C·⌈T/C⌉"
    assert formula_to_text(ceil_div(ceil_div(T, C) * (T + 1), C)) == "⌈T·⌈T/C⌉/C + ⌈T/C⌉/C⌉"


MIXED = Bill.of(Kind.CONTRACTION, scores=512) + Bill.of(Kind.POINTWISE, softmax=80, scale=16)


def test_contractions_and_pointwise_operations_are_never_added():
    assert str(MIXED).splitlines()[-2:] == ["total contraction  512  FLOP", "total pointwise     96  FLOP"]
    assert MIXED.to_latex().count(r"\text{total") == 2
    assert "<th>total contraction</th><th>512</th>" in MIXED.to_html()
    assert "<th>total pointwise</th><th>96</th>" in MIXED.to_html()
    data = MIXED.to_dict()
    assert (data["total"], data["totals"]) == (None, {"contraction": 512, "pointwise": 96})
    assert "608" not in f"{MIXED}{MIXED.to_latex()}{MIXED.to_html()}{data}"
