"""The page of the claims: verdicts, figures with their source, pictures beside it."""

import pytest

from seqcost.report.claims import page, tables, write_page
from seqcost.report.plots import _amount

FIGURE = {"what": "a time", "value": 2.0, "unit": "s", "source": "measured here", "interval": [1.0, 3.0], "text": "2 s"}
PICTURE = {
    "title": "over the length", "unit": "s",
    "curves": [{"name": "one", "x": [64, 128], "y": [1.0, 2.0], "low": [0.9, 1.9], "high": [1.1, 2.1]}],
}  # fmt: skip
CLAIM = {
    "number": 3, "claim": "It is so.", "asked_in": [], "verdict": "true when", "sentence": "T is large.",
    "formulas": ["FLOPs = T²"], "figures": {"time": FIGURE | {"interval_text": "1 s to 3 s", "busy": True}},
    "beyond": "quality", "pictures": [PICTURE],
}  # fmt: skip
ASKED = CLAIM | {"number": None, "claim": "Is it?", "asked_in": ["owner/repo 1"], "verdict": "false", "pictures": []}
ANSWER = {
    "claims": [CLAIM, ASKED], "quick": False, "busy": ["a job"],
    "environment": {"cpu_model": "a processor", "num_cores": 2, "memory_bytes": 2**34, "python_version": "3.11",
                    "torch_version": "2.13", "seqcost_version": "0.1"},
}  # fmt: skip


def test_the_page_says_what_was_found():
    text = page(ANSWER)
    assert "## 3. It is so." in text
    assert "**True when** T is large." in text
    assert "**False**: T is large." in text
    assert "| a time | 2 s | 1 s to 3 s | measured here * |" in text
    assert "FLOPs = T²" in text
    assert "![over the length](pictures/claim-3.png)" in text
    assert "Asked in owner/repo 1." in text
    assert "Not shown: quality." in text
    assert "1 run was made while others kept the machine busy (marked *), and no verdict is read off them." in text
    assert "a processor, 2 cores, 16 GiB" in text


def test_a_single_claim_has_its_figures_in_a_table():
    assert len(tables(ANSWER)) == 1
    assert len(tables(ANSWER | {"claims": [CLAIM]})) == 2


def test_a_ratio_far_below_one_is_no_zero_at_the_axis():
    assert [_amount(y, "") for y in (1e-6, 0.1, 1, 2000)] == ["1e-06", "0.1", "1", "2 k"]


def test_the_page_and_its_pictures_are_written(tmp_path):
    pytest.importorskip("matplotlib")
    written = write_page(ANSWER, tmp_path / "claims.md")
    assert [path.relative_to(tmp_path).as_posix() for path in written] == ["claims.md", "pictures/claim-3.png"]
    assert (tmp_path / "pictures" / "claim-3.png").read_bytes().startswith(b"\x89PNG")
