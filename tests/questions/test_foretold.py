"""Crossovers in predicted time: where they lie by construction, how sure that is, and what is not told apart."""

import json
import math

import pytest
from toy_machine import learnt, machine, value

import seqcost
from seqcost.algebra.work import Kernel, Row
from seqcost.errors import BadMachine, UnknownName
from seqcost.prediction import Interval, ratio, timed
from seqcost.prediction.interval import NINETY
from seqcost.questions.answers.foretold import Pair

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)
SHARP = machine(name="here", learnt={"float32": learnt(spread=0.01)})
WHO = ["rnn-layer", "attention-layer"]


def pair(ratio_at, spread, lengths=LENGTHS):
    return Pair("a", "b", {T: Interval.around(ratio_at(T), spread) for T in lengths})


def added(n, operator="add", launches=1):
    return Row(
        name="a", kernel=Kernel.ELEMENTWISE, operator=operator, sizes=(n,), launches=launches, bytes=12 * n * launches
    )


def test_a_crossover_known_by_construction_with_the_interval_of_its_length():
    (found,) = pair(lambda T: T / 300, 0.4).crossovers()
    stray = math.exp(NINETY * 0.4)
    assert (found.rising, found.other, found.how) == ("a", "b", "predicted")
    assert found.length == pytest.approx(300, rel=1e-3)
    assert (found.length_low, found.length_high) == pytest.approx((300 / stray, 300 * stray), rel=1e-3)
    assert (found.low, found.high) == (128, 1024)
    assert found.untold == (256, 512)


def test_the_one_that_falls_behind_is_named_first():
    (found,) = pair(lambda T: 300 / T, 0.1).crossovers()
    assert (found.rising, found.other) == ("b", "a")
    assert found.length_low < 300 < found.length_high


def test_a_side_on_which_nothing_is_told_apart_has_no_bound():
    (found,) = pair(lambda T: T / 100, 0.8).crossovers()
    assert (found.low, found.length_low) == (None, None)
    assert found.length == pytest.approx(100, rel=1e-3)
    assert found.length_high == pytest.approx(100 * math.exp(NINETY * 0.8), rel=1e-3)


def test_where_the_intervals_meet_throughout_there_is_no_crossover():
    unsure = pair(lambda T: T / 500, 3.0)
    assert list(unsure.crossovers()) == []
    assert (unsure.standing.below, unsure.standing.above, unsure.standing.untold) == ((), (), LENGTHS)


def test_a_ratio_that_touches_one_and_goes_back_is_no_crossover():
    there_and_back = {64: 0.1, 128: 0.9, 256: 1.1, 512: 0.9, 1024: 0.1}
    assert list(pair(there_and_back.get, 0.3, lengths=tuple(there_and_back)).crossovers()) == []


def test_what_both_share_counts_once():
    """The same kernel in both: twice the launches are twice the time, however far the kernel strays."""
    on = machine(error={"all": (0.3, 1.0)})
    one, twice, other = (
        timed([row], on, "float32", training=False)
        for row in (added(2**12), added(2**12, launches=2), added(2**12, "erfinv"))
    )
    same, unlike = ratio(twice, one), ratio(other, one)
    alone = math.hypot(one.spread_of_model, one.spread_of_model)
    assert same.mid == pytest.approx(2)
    assert same.spread == pytest.approx(alone, rel=1e-6)
    assert unlike.spread > same.spread
    assert unlike.spread < math.hypot(one.seconds.spread, other.seconds.spread) + 1e-9


def test_from_which_length_on_one_is_slower_on_a_machine():
    answer = seqcost.compare(WHO, lengths="16..8k", sizes={"D": 64}, machine=SHARP)
    (found,) = [row for row in answer.crossovers if row.quantity == "predicted time"]
    assert (found.rising, found.other) == ("attention-layer", "rnn-layer")
    for T, order in ((math.ceil(found.length_high), 1), (math.floor(found.length_low), -1)):
        rnn, attention = (seqcost.predict(who, length=T, sizes={"D": 64}, machine=SHARP).seconds.mid for who in WHO)
        assert (attention > rnn) is (order > 0)
    assert answer.check.startswith("seqcost measure rnn-layer attention-layer --lengths ")
    assert "--refine 4 --batch 1 --phase forward --dtype float32 --set D=64" in answer.check
    (least, *_) = [row for row in answer.cheapest if row.quantity == "predicted time"]
    assert least.target == "attention-layer"


def test_each_point_has_its_interval_and_the_answer_says_what_it_rests_on():
    data = seqcost.compare(WHO, lengths="64,128", sizes={"D": 64}, machine=SHARP).to_dict()
    first = data["points"][0]
    alone = seqcost.predict("rnn-layer", length=64, sizes={"D": 64}, machine=SHARP)
    assert first["predicted_s"] == [alone.seconds.low, alone.seconds.mid, alone.seconds.high]
    assert first["predicted_peak_bytes"] == alone.peak_bytes
    assert data["machine"]["name"] == SHARP.key
    assert "learnt from 30 runs" in data["machine"]["rests_on"]
    assert json.dumps(data)


def test_without_a_machine_nothing_is_foretold():
    data = seqcost.compare(WHO, lengths="64,128", sizes={"D": 64}).to_dict()
    assert not {"machine", "check"} & data.keys()
    assert not any(key.startswith("predicted") for point in data["points"] for key in point)
    assert not any(row["quantity"] == "predicted time" for row in data["crossovers"] + data["standings"])


def test_what_is_not_told_apart_is_said_and_what_would_tell():
    answer = seqcost.compare(
        ["mingru-layer", "minlstm-layer"], lengths="64,128", sizes={"D": 64}, machine=machine(name="here")
    )
    assert not [row for row in answer.crossovers if row.quantity == "predicted time"]
    assert "not told apart" in str(answer)
    assert answer.check.startswith("seqcost measure mingru-layer minlstm-layer --lengths 64..128")


def test_what_does_not_fit_is_said():
    small = machine(memory=value(1000, "B"))
    said = str(seqcost.compare(WHO, lengths="64,128", sizes={"D": 64}, machine=small))
    assert "attention-layer does not fit at T = 64" in said
    assert "check:" not in said


def test_a_machine_or_a_format_that_is_not_known_is_one_sentence():
    with pytest.raises(UnknownName, match="unknown machine 'h99'"):
        seqcost.compare(WHO, lengths=64, machine="h99")
    with pytest.raises(BadMachine, match="toy has no peak for bfloat16; its profile knows float32"):
        seqcost.compare(WHO, lengths=64, dtype="bfloat16", machine=machine())
