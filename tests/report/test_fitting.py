"""In 80 columns and less: whole numbers, whole words, and nothing beyond the edge."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqcost.report.fitting import fit, shortened
from seqcost.report.table import Table

LINES = Table.of(
    "by line",
    ("<line", "FLOPs", "share", "moved", "<how"),
    [
        ("model.layers.31.self_attn.q_proj._scaled_dot_product_flash_attention_for_cpu", "36,864,000,000", "99.0 %",
         "1.25 GiB", "interpolated between 1,024 and 2,048"),
        ("blocks.feed_forward.up", "1", "1.0 %", "2 KiB", "solved"),
    ],
)  # fmt: skip


@pytest.mark.parametrize("width", [200, 100, 80, 60, 40, 20])
def test_numbers_stand_whole_or_not_at_all_and_words_are_not_broken(width):
    text = LINES.to_text(width)
    assert all(len(line) <= width for line in text.splitlines())
    words = set(text.split())
    for number in ("36,864,000,000", "99.0", "1.25"):
        assert number in words or "left out for want of width" in " ".join(text.split())
    assert not re.search(r"interpo(?!lated)", text)
    # a name is whole, or both of its ends are there
    assert re.search(r"model\.layers\.31\.self_attn\.q_proj\.\S+for_cpu|mo\S*…\S*\w", text)


def test_what_is_left_out_is_said():
    long = Table.of("", ("<", "exact", "", "<as a function of T"), [("FLOPs", f"{10**61:,}", "1e61 FLOP", "T² + 3·T")])
    text = long.to_text(80)
    assert "1e61 FLOP" in text
    assert "T² + 3·T" in text
    assert "left out for want of width: exact" in text
    assert "left out" not in long.to_text(120)


def test_markup_in_a_cell_is_text():
    table = Table.of("a [red]title[/]", ("<a[b]",), [(r"a\[/red]b",), ("x[/nosuch]",)], "note [/]")
    text = table.to_text(80)
    for part in ("a [red]title[/]", "a[b]", r"a\[/red]b", "x[/nosuch]", "note [/]"):
        assert part in text


@given(
    cells=st.lists(st.lists(st.text("abc. 0123456789", max_size=40), min_size=3, max_size=3), min_size=1, max_size=6),
    width=st.integers(10, 120),
)
def test_widths_never_pass_what_there_is(cells, width):
    found = fit(cells, [i % 2 == 1 for i in range(len(cells))], width)
    assert 0 in found.shown
    assert sorted((*found.shown, *found.left_out)) == list(range(len(cells)))
    if len(found.shown) > 1:
        assert sum(found.widths) + 2 * (len(found.shown) - 1) <= width


def test_a_word_keeps_its_ends_and_its_indent():
    assert shortened("model.layers.0.mlp.up_proj", 12) == "mod….up_proj"
    assert shortened("  feed_forward", 10) == "  fe…rward"
    assert shortened("    encoder.layer.0…11 (×12)", 20) == "    encod…0…11 (×12)"
    assert shortened("two words", 5) == "two words"
    assert len(shortened("model.layers.0.mlp.up_proj", 12)) == 12


def test_a_formula_loses_nothing():
    formula = "36·B·C·E·N·⌈T/(4·C)⌉ + 8·log₂ T"
    for width in range(6, 40):
        assert shortened(formula, width).replace("\n", "") == formula
    assert max(map(len, re.split(r"[\n ]", shortened(formula, 12)))) <= 12
