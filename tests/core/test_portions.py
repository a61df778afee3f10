"""Bytes that remember what they are for."""

import pytest

from seqcost.algebra.peak import GRADIENTS, SAVED, TEMPORARY
from seqcost.formulas.core.memory import larger
from seqcost.formulas.core.portions import Portions, composed
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.mixers.attention import Attention
from seqcost.questions.answers.phases import by_formula, peak_by_formula

KEPT = Portions({(SAVED, "up"): 6, (TEMPORARY, ""): 1})


def test_they_count_like_numbers_of_bytes():
    both = 2 * (KEPT + Portions({(SAVED, "up"): 4})) - KEPT
    assert both.parts == {(SAVED, "up"): 14, (TEMPORARY, ""): 1}
    assert both.total == 15
    assert sum([KEPT, KEPT], start=0).total == 14


def test_bytes_that_do_not_say_what_they_are_for_are_refused():
    with pytest.raises(AssertionError, match="do not say"):
        KEPT + 3


def test_of_two_equal_peaks_the_first_counts():
    early, late = KEPT.during(("forward", "", "first")), KEPT.during(("backward", "", "second"))
    assert larger(early, late).at[-1] == "first"
    assert larger(early, late + KEPT).at[-1] == "second"


def test_what_was_there_all_the_time_is_added():
    peak = composed(KEPT.during(("backward", "up", "up_dw")), [("parameters", 8), ("inputs", 2)], "train")
    assert peak.peak_bytes == sum(peak.categories.values()) == 17
    assert peak.saved_by_module == {"up": 6}
    assert (peak.operator, peak.path, peak.phase) == ("up_dw", "up", "backward")


@pytest.mark.parametrize("phase", ["forward", "train", "prefill", "decode"])
def test_layers_count_as_often_as_they_are(phase):
    """The parts of the peak add up to the peak, which is followed as a plain number."""
    config, run = Attention(D=8, H=2), Workload(B=2, T=40)
    peak = peak_by_formula(config, run, phase)
    assert sum(peak.categories.values()) == by_formula(config, run, phase, remembering=True).peak_bytes
    assert (peak.categories[GRADIENTS] > 0) == (phase == "train")
