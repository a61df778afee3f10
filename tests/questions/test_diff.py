import json
from fractions import Fraction

import pytest

import seqcost
from seqcost.errors import BadSize, BadTarget, SeqcostError, UnknownName


def by_name(answer):
    return {row["quantity"]: row for row in answer["quantities"]}


def test_it_stands_beside_the_two_counts():
    answer = json.loads(json.dumps(seqcost.diff("gpt2", "llama-3-8b", length=77, batch=2).to_dict()))
    a, b = (seqcost.count(name, length=77, batch=2).to_dict() for name in ("gpt2", "llama-3-8b"))
    for name, row in by_name(answer).items():
        assert (row["a"], row["b"]) == (a[name], b[name])
        assert row["difference"] == (None if a[name] is None else b[name] - a[name])
        assert row["ratio"] == (None if a[name] is None else b[name] / a[name])


@pytest.mark.parametrize("phase", ["forward", "decode"])
@pytest.mark.parametrize(("b", "sizes_b"), [("lstm", {}), ("gpt2", {"norm": "rms"}), ("gpt2", {"L": 3, "G": 4})])
def test_the_lines_add_up_to_the_difference(b, sizes_b, phase):
    answer = seqcost.diff("gpt2", b, phase=phase, sizes_b=sizes_b).to_dict()
    quantities = by_name(answer)
    keys = {"contraction": "flops", "pointwise": "pointwise", "parameters": "params", "traffic": "bytes_moved",
            "saved": "saved_bytes", "state": "state_bytes"}  # fmt: skip
    for kind, key in keys.items():
        total = sum(Fraction(line["difference"]) for line in answer["lines"] if line["kind"] == kind)
        assert total == quantities[key]["difference"], key


def test_lines_appear_vanish_and_change_largest_first():
    lines = seqcost.diff("gpt2", "gpt2", sizes_b={"norm": "rms", "F": 2048}).lines
    assert {line.change for line in lines} == {"appears", "vanishes", "changes"}
    for line in lines:
        assert (line.a is None, line.b is None) == (line.change == "appears", line.change == "vanishes")
        assert line.difference != 0
    for kind in {line.kind for line in lines}:
        sizes = [abs(line.difference) for line in lines if line.kind == kind]
        assert sizes == sorted(sizes, reverse=True)


def test_nothing_changed():
    found = seqcost.diff("gpt2", "gpt2")
    assert found.lines == ()
    assert found.unchanged > 40
    assert all(row.difference == 0 and row.ratio == 1 for row in found.quantities if row.name != "peak_bytes")
    assert all(set(sides["difference"]["coefficients"]) == {"0"} for sides in found.polynomials.values())


def test_the_difference_of_the_polynomials_gives_the_difference():
    found = seqcost.diff("gpt2", "llama-3-8b", length=3000)
    quantities = {row.name: row.difference for row in found.quantities}
    for name, sides in found.polynomials.items():
        value = sum(Fraction(c) * 3000**p for p, c in enumerate(sides["difference"]["coefficients"]))
        assert value == quantities[name]


def test_what_one_side_cannot_tell_is_no_difference():
    found = seqcost.diff("gpt2", "bert-base")
    state = next(row for row in found.quantities if row.name == "state_bytes")
    assert state.a is not None
    assert (state.b, state.difference, state.ratio) == (None, None, None)
    assert not any(line.kind == "state" for line in found.lines), "unknown is not vanished"


def test_sizes_of_a_side_go_before_those_of_both():
    found = seqcost.diff("gpt2", "gpt2", sizes={"width": 96, "L": 2}, sizes_b={"D": 192})
    assert [side.sizes["D"] for side in (found.a, found.b)] == [96, 192]
    assert [side.sizes["L"] for side in (found.a, found.b)] == [2, 2]


def test_live_modules():
    import torch
    from torch import nn

    x = torch.randn(2, 16, 8)
    before, after = nn.Sequential(nn.Linear(8, 8)), nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 8))
    found = seqcost.diff(before, after, inputs=(x,), phase="train")
    flops = next(row for row in found.quantities if row.name == "flops")
    assert flops.ratio == pytest.approx(found.b.flops / found.a.flops)
    assert {line.name for line in found.lines if line.change == "appears"} >= {"forward.2.addmm"}
    assert next(row for row in found.quantities if row.name == "params").difference == 8 * 8 + 8


def test_beside_code_a_formula_is_traced():
    import torch

    found = seqcost.diff("rnn-layer", torch.nn.RNN(8, 8, batch_first=True), length=12, sizes_a={"D": 8})
    assert {found.a.rung, found.b.rung} == {"fake tensors"}
    assert found.a.flops == found.b.flops


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"length": [8, 16]}, BadSize, "a difference is taken at one"), ({"length": 0}, BadSize, "length = 0"),
        ({"sizes_b": {"Z": 1}}, UnknownName, "unknown size of gpt2"),
        ({"inputs": (1,)}, SeqcostError, "inputs"), ({"inputs_b": (1,)}, BadTarget, "inputs"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(given, error, says):
    with pytest.raises(error, match=says):
        seqcost.diff("gpt2", "gpt2", **given)


def test_a_ratio_beyond_all_floats_is_unknown():
    found = seqcost.diff("norm", "norm", length=1, sizes_a={"D": 1}, sizes_b={"D": 10**400})
    assert next(row for row in found.quantities if row.name == "params").ratio is None
    json.dumps(found.to_dict())
