"""Formulas in several letters: found by tracing, the same as those that somebody wrote."""

import json

import pytest
import sympy
from torch import nn

import seqcost
from seqcost.algebra import Kind, symbol, symbols
from seqcost.errors import BadSize, BadTarget, SeqcostError
from seqcost.questions.targets.letter_sizes import choose


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "sizes", "flops", "params"),
    [
        ("hf:gpt2", {}, "4·L·D·T² + 24·L·D²·T + 2·D·U·T", "12·L·D² + 13·L·D + D·U + 1026·D"),
        (
            "hf:bert",
            {},
            "4·L·D·T² + 8·L·D²·T + 4·L·D·F·T + 2·D²·T + 2·D·U·T",
            "4·L·D² + 2·L·D·F + 9·L·D + L·F + D² + D·U + 519·D + U",
        ),
        # Keys and values of a quarter of the heads: 2·D² + 2·D²/4 for the four projections, twice as many FLOPs.
        (
            "hf:llama",
            {"num_attention_heads": 4, "num_key_value_heads": 1, "num_hidden_layers": 3, "hidden_size": 512},
            "4·L·D·T² + 5·L·D²·T + 6·L·D·F·T + 2·D·U·T",
            "5/2·L·D² + 3·L·D·F + 2·L·D + 2·D·U + D",
        ),
    ],
    ids=["gpt2", "bert", "llama"],
)
def test_hugging_face(target, sizes, flops, params, tmp_path):
    if sizes:  # in a file, so that the package derives the width of a head from the width
        kind = {"model_type": target.removeprefix("hf:")}
        (tmp_path / "config.json").write_text(json.dumps(kind | sizes))
        target = str(tmp_path)
    found = seqcost.letters(target, length=129)
    assert found.flops.exact
    assert found.pointwise.exact
    assert (str(found.flops), str(found.params)) == (flops, params)
    assert found.uncounted == ()
    counted = seqcost.count(target, length=200)
    for name in ("flops", "pointwise", "params"):
        assert found.quantities[name](**found.own, T=200) == getattr(counted, name)


def test_a_traced_transformer_is_its_formula():
    found = seqcost.letters("transformer", "L,D,F,U", length=64, sizes={"L": 2, "F": 96}, trace=True)
    assert found.rung == "fake tensors"
    letters = symbols("LDFU")
    config = seqcost.configure("transformer", **letters)
    bill = config.flops(seqcost.Workload(B=1, T=symbol("T")))
    for quantity, written in (
        ("flops", bill.total(Kind.CONTRACTION)),
        ("pointwise", bill.total(Kind.POINTWISE)),
        ("params", config.params().total()),
    ):
        assert sympy.expand(found.quantities[quantity].to_sympy() - written) == 0, quantity


def test_heads_are_a_letter_too():
    found = seqcost.letters("gpt2", "L,D,H", length=64)
    assert found.rung == "formula"
    bill = seqcost.configure("gpt2", **symbols("LDH")).flops(seqcost.Workload(B=1, T=symbol("T")))
    assert found.pointwise.degree_in("H") == 1
    assert sympy.expand(found.pointwise.to_sympy() - bill.total(Kind.POINTWISE)) == 0


def test_a_width_over_heads_is_no_polynomial_in_the_heads():
    found = seqcost.letters("transformer", "L,D,H", length=64)  # rotary angles: D/H of them
    assert found.flops.exact
    assert not found.pointwise.exact
    assert found.pointwise.refusing == ("H",)


@pytest.mark.parametrize("phase", ["train", "decode"])
def test_other_phases(phase):
    found = seqcost.letters("gru", length=32, batch=3, phase=phase)
    counted = seqcost.count("gru", length=100, batch=3, phase=phase, sizes={"D": 48, "L": 5})
    at = found.own | {"D": 48, "L": 5, "T": 100}
    assert found.flops(**at) == counted.flops
    assert found.pointwise(**at) == counted.pointwise


@pytest.mark.slow
def test_a_pattern_of_layers_is_no_polynomial_in_their_number(tmp_path):
    # Every sixth layer of Gemma 3 is of another kind, with a mask and angles of its own; the first few are all alike.
    sizes = {"num_hidden_layers": 7, "hidden_size": 64, "head_dim": 16, "vocab_size": 200}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gemma3_text"} | sizes))
    found = seqcost.letters(str(tmp_path), "L", length=64)
    assert not found.pointwise.exact
    assert found.pointwise.refusing == ("L",)
    assert "L = 7" in found.pointwise.reason
    assert found.flops.exact  # masked scores are computed in every layer
    assert found.to_dict()["quantities"]["pointwise"]["not_polynomial_in"] == ["L"]


def test_blocks_are_no_polynomial_in_the_length():
    found = seqcost.letters("bigbird", length=1000)
    assert not found.flops.exact
    assert found.flops.refusing == ("T",)


def test_the_names_of_a_setting_are_one():
    found = seqcost.letters("hf:gpt2", {"W": "hidden_size"}, length=17)
    assert found.settings == {"W": "n_embd"}
    assert found.own == {"W": 768}
    assert json.loads(json.dumps(found.to_dict()))["settings"] == {"W": {"setting": "n_embd", "own": 768}}
    assert str(found).splitlines()[0] == f"flops: {found.flops}"


def test_what_has_no_sizes_is_a_function_of_the_length():
    found = seqcost.letters(nn.Linear(2, 3))
    assert (str(found.flops), str(found.params)) == ("12·T", "9")
    assert found.settings == {}
    data = json.loads(json.dumps(found.to_dict()))["quantities"]
    assert data["flops"]["formula"] == "12·T"
    assert data["flops"]["letters"] == ["T"]


def test_letters_of_fixed_sizes_are_refused():
    with pytest.raises(BadTarget, match="'Linear', whose sizes are fixed"):
        seqcost.letters(nn.Linear(2, 3), "D")
    fixed = seqcost.letters(nn.Linear(2, 3), inputs=nn.Linear(2, 2).weight[None])
    assert not fixed.flops.exact
    assert "the inputs came with the module" in fixed.flops.reason


def test_a_letter_that_the_target_does_not_let_go_is_named():
    # Mamba-2 wants its heads to make up the inner width, so that the width alone cannot change.
    with pytest.raises(BadSize, match=r"D \(hidden_size\) needs 5 sizes and was taken at 4096.*leave this letter out"):
        seqcost.letters("hf:mamba2", "L,D", length=17, sizes={"num_hidden_layers": 1})


def test_refused_sizes_are_replaced():
    def costs(at):
        if at["D"] % 3:
            raise SeqcostError("D must be a multiple of 3.")

    assert choose(costs, {"D": 96}, {"D": "D"}, [8])["D"] == [48, 96, 192, 288, 384]
    assert choose(costs, {"D": 96}, {"D": "D"}, [3])["D"] == [6, 12, 18, 24, 30]
