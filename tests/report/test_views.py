import pytest
import torch
from torch import nn

import seqcost
from seqcost.report.derivations import derivation_table
from seqcost.report.views import view_table


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x):
        return x + self.linear2(torch.relu(self.linear1(x)))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*(Block() for _ in range(4)))

    def forward(self, x):
        return self.layers(x)


@pytest.fixture(scope="module")
def traced():
    return seqcost.count(Model(), inputs=(torch.randn(2, 12, 16),), length=12, batch=2)


def test_a_tree_of_modules_folds_equal_layers(traced):
    names = [row[0] for row in view_table(traced.by("module").to_dict(), most=99).rows]
    assert names[:2] == ["Model", "  layers.0…3 (×4)"]
    assert "    linear1" in names
    assert view_table(traced.by("module").to_dict(), depth=1).rows[-1][0] == "  layers.0…3 (×4)"


def test_few_rows_are_the_largest_with_their_parents(traced):
    table = view_table(traced.by("module", "params").to_dict(), most=3)
    assert [row[0] for row in table.rows] == ["Model", "  layers.0…3 (×4)", "    linear1"]
    assert table.rows[0][1:3] == ("4.29 k", "100.0 %")
    assert "smaller rows: --lines" in table.note


def test_a_module_stands_before_the_part_that_costs_as_much():
    names = {"": (6, 9), "b": (6, 8), "b.x": (6, 7), "b.y": (0, 1), "c": (0, 1)}
    quantities = ("flops", "bytes_moved", "saved_bytes", "params")
    rows = [{"name": name, **dict.fromkeys(quantities, 0), "flops": f, "params": p} for name, (f, p) in names.items()]
    found = {"target": "all", "by": "module", "rank": "flops", "totals": {"flops": 6}, "rows": rows}
    assert [row[0] for row in view_table(found, most=2).rows] == ["all", "  b"]


def test_what_a_module_does_itself_is_shown():
    class Twice(nn.Linear):
        def __init__(self):
            super().__init__(4, 4)
            self.inner = nn.Linear(4, 4)

        def forward(self, x):
            return self.inner(super().forward(x))

    count = seqcost.count(Twice(), inputs=(torch.randn(1, 3, 4),), length=3)
    assert [row[:3] for row in view_table(count.by("module").to_dict()).rows] == [
        ("Twice", "192 FLOP", "100.0 %"), ("  inner", "96 FLOP", "50.0 %"), ("  (itself)", "96 FLOP", "50.0 %"),
    ]  # fmt: skip


def test_steps_that_are_alike_stand_together_and_the_last_row_is_the_total(traced):
    table = derivation_table(traced.derive("flops").to_dict(), most=1)
    assert table.rows[0][0] == "layers.0…3.linear1 (×4)\naddmm"
    assert table.rows[0][1] == "4 × 2·m·k·n\n= 4 × 2·24·16·32"
    assert table.rows[1][0] == "and 1 more"
    assert table.rows[-1] == ("total", "", f"{traced.flops:,}", "100.0 %")
    shown = [int(row[2].replace(",", "")) for row in table.rows]
    assert sum(shown[:-1]) == shown[-1]


@pytest.mark.parametrize("quantity", ["flops", "pointwise", "bytes_moved", "params", "saved_bytes", "peak_bytes"])
def test_an_explanation_fits_80_columns_with_whole_numbers(traced, quantity):
    text = derivation_table(traced.derive(quantity).to_dict()).to_text(80)
    assert max(map(len, text.splitlines())) <= 80
    assert f"{traced.to_dict()[quantity]:,}" in text


def test_a_view_and_a_derivation_show_themselves(traced):
    for found in (traced.by("operator"), traced.derive("flops", "layers.0")):
        assert "addmm" in str(found)
        assert "addmm" in found._repr_html_()
        assert found.__rich__().rows
