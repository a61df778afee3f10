import pytest

import seqcost
from seqcost.report.comparisons import crossovers_table, panels, points_table, tables, write_report


@pytest.fixture(scope="module")
def answer():
    sizes = {"width": 24, "heads": 3, "layers": 2}
    return seqcost.compare(["transformer", "lstm", "rnn"], lengths=[8, 64, 512], sizes=sizes, trace=False).to_dict()


def test_a_row_a_target_and_length(answer):
    assert len(points_table(answer).rows) == 9


def test_an_order_that_holds_everywhere_is_one_row(answer):
    rows = crossovers_table(answer).rows
    assert ("FLOPs of contractions", "transformer over lstm over rnn", "every T", "solved") in rows


def test_only_what_was_measured_has_a_table(answer):
    assert not any("measured" in table.title for table in tables(answer))


def test_every_counted_quantity_has_a_panel(answer):
    titles = [panel.title for panel in panels(answer)]
    assert titles[0] == "FLOPs of contractions"
    assert "carried state (cache)" in titles


def test_the_report_is_written(answer, tmp_path):
    page = write_report(answer, tmp_path / "report")
    names = {p.name for p in page.parent.iterdir()}
    assert {"index.html", "overview.png", "flops-of-contractions.png"} <= names
    assert "transformer" in page.read_text("utf-8")
