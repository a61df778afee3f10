"""Every planted fault is found by the row that names it, and the same module without the fault is sound."""

import pytest
import torch
from planted import FAULTS, Alone, Carrying, Faint, Masked

import seqcost


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_by_its_row(fault):
    torch.manual_seed(0)
    make, what, words = FAULTS[fault]
    rows = {row.what: row for row in seqcost.check(make(fault)).rows}
    assert rows[what].verdict == "fails"
    assert words in rows[what].remark


@pytest.mark.parametrize("make", [Carrying, Alone, Faint, Masked])
def test_without_a_fault_there_is_none(make):
    torch.manual_seed(0)
    found = seqcost.check(make(""))
    assert found.sound, [row for row in found.rows if row.verdict in ("fails", "raises")]
    assert found.larger_weights
