"""One table says what is counted: a row added to it stands in every answer, and no room keeps a list of its own."""

import ast
import csv
import dataclasses
import io
from pathlib import Path

import pytest

import seqcost
from seqcost.algebra import Kind
from seqcost.algebra.quantity import QUANTITIES, Quantity, Told
from seqcost.questions.answers.derivation import check_quantity
from seqcost.questions.diff import Diff
from seqcost.report.comparisons import points_table
from seqcost.report.counts import flat_row, lengths_table, totals_table
from seqcost.report.diffs import quantities_table
from seqcost.report.table import rows_to_csv

SOURCE = Path(seqcost.__file__).parent


@pytest.fixture
def launches(monkeypatch):
    """A copy of the table with one more quantity, which is none of ours."""
    new = Quantity(
        name="launches", unit="step", label="kernel launches", heading="launches", title="kernel launches",
        told=(Told.COUNT, Told.COMPARED),
    )  # fmt: skip
    monkeypatch.setattr(QUANTITIES, "rows", (*QUANTITIES.rows, new))
    count = seqcost.count("lstm-layer", length=8)
    return dataclasses.replace(count, numbers={**count.numbers, "launches": 1234})


def test_a_row_more_stands_in_every_answer(launches):
    plain = launches.to_dict()
    assert launches.amount("launches") == plain["launches"] == 1234
    assert ("kernel launches", "1,234", "1.23 k", "") in totals_table(plain).rows
    assert "kernel launches" in lengths_table([plain, plain]).headings
    (row,) = csv.DictReader(io.StringIO(rows_to_csv([flat_row(plain)])))
    assert row["launches"] == "1234"
    check_quantity("launches")
    with pytest.raises(seqcost.SeqcostError, match="launches"):
        check_quantity("lanches")
    between = Diff(launches, dataclasses.replace(launches, numbers={**launches.numbers, "launches": 34})).to_dict()
    assert between["quantities"][-1]["difference"] == -1200
    assert any(row[0] == "kernel launches" for row in quantities_table(between).rows)
    point = {"target": "lstm-layer", "T": 8} | {q.name: plain.get(q.name) for q in QUANTITIES.told(Told.COMPARED)}
    assert points_table({"phase": "forward", "points": [point]}).headings[-1] == "launches"


def test_without_the_row_nobody_knows_it():
    with pytest.raises(seqcost.SeqcostError, match="launches"):
        check_quantity("launches")


def test_every_kind_of_line_adds_up_to_one_quantity():
    for kind in Kind:
        quantities = [row for row in QUANTITIES.values() if kind in row.kinds]
        assert len(quantities) == 1, kind
        assert quantities[0].unit == kind.unit


def test_what_operators_have_is_a_field_of_their_rows():
    pytest.importorskip("torch")
    count = seqcost.count("lstm-layer", length=4, trace=True)
    assert list(count.by("operator").rows[0])[2:] == [row.name for row in QUANTITIES.of_operators()]


def test_no_room_keeps_a_list_of_its_own():
    def named(node):
        parts = [*(node.keys if isinstance(node, ast.Dict) else node.elts)]
        heads = [part.elts[0] if isinstance(part, ast.Tuple) and part.elts else part for part in parts]
        return {head.value for head in heads if isinstance(head, ast.Constant)} & set(QUANTITIES)

    theirs = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for room in ("questions", "report", "cli")
        for path in sorted((SOURCE / room).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict) and len(named(node)) > 2
    ]
    assert theirs == []
