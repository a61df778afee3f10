"""More targets than colours: one panel per family, and what is cheaper than the first."""

import pytest

import seqcost
from seqcost.report.comparisons import tables, write_report
from seqcost.report.families import family_panels, grouped, many, verdicts_table
from seqcost.report.plots import Series

NAMES = ["transformer", "rnn", "lstm", "gru", "conv", "mingru", "minlstm", "rg-lru", "aaren"]


@pytest.fixture(scope="module")
def answer():
    sizes = {"width": 24, "heads": 3, "layers": 1}
    return seqcost.compare(NAMES, lengths=[8, 64], sizes=sizes, trace=False).to_dict()


def test_eight_are_not_many(answer):
    assert many(answer)
    assert not many({"targets": NAMES[:8]})


def test_every_target_stands_in_its_family(answer):
    assert grouped(answer)["recurrence, by a loop"] == ["rnn", "lstm", "gru"]
    assert sorted(name for names in grouped(answer).values() for name in names) == sorted(NAMES)


def test_a_panel_has_its_family_in_colour_the_yardstick_and_the_others_behind(answer):
    panels = family_panels(answer, [Series(name, [8, 64], [1.0, 2.0]) for name in NAMES], "FLOP")
    (loops,) = [panel for panel in panels if panel.title == "recurrence, by a loop"]
    assert [curve.name for curve in loops.series] == ["rnn", "lstm", "gru"]
    assert loops.reference.name == "transformer"
    assert [curve.name for curve in loops.behind] == ["conv", "mingru", "minlstm", "rg-lru", "aaren"]
    assert not any(panel.title == "attention" for panel in panels)  # it would hold the yardstick alone


def test_verdicts_say_from_which_length_on_it_costs_less(answer):
    table = verdicts_table(answer)
    flops = {row[0].strip(): row[1] for row in table.rows}
    costs = {name: seqcost.count(name, sizes={"D": 24, "L": 1} | ({"H": 3} if name in ("transformer", "aaren") else {}),
             length=[1, 10**9]) for name in NAMES}  # fmt: skip
    cheaper = {
        name: [a.flops < b.flops for a, b in zip(costs[name], costs["transformer"], strict=True)] for name in NAMES[1:]
    }
    for name, (first, last) in cheaper.items():
        assert flops[name] == "always" if first and last else flops[name].startswith("from" if last else "to"), name


def test_one_length_is_named_to_the_token():
    points = []
    answer = {
        "targets": ["a", "b"],
        "families": {"a": "x", "b": "x"},
        "points": points,
        "dominances": [],
        "crossovers": [
            {"quantity": "flops", "rising": "a", "other": "b", "length": 40},
            {"quantity": "flops", "rising": "b", "other": "a", "length": 90},
            {"quantity": "time", "rising": "a", "other": "b", "length": 99.5},
        ],
    }
    assert verdicts_table(answer).rows == (("x", "", ""), ("  a", "", ""), ("  b", "40–89", "from 100"))


def test_the_report_of_many(answer, tmp_path):
    page = write_report(answer, tmp_path)
    assert "9 architectures" in page.read_text("utf-8")
    assert (tmp_path / "flops-of-contractions.png").is_file()
    assert [table.title for table in tables(answer)][:2] == [
        "forward, by formula, at T = 64",
        "cheaper than transformer",
    ]
