"""`seqcost count --phase train` with an optimizer, the memory table and the timeline."""

import pytest

SMALL = ("count", "lstm", "--width", "16", "--vocab", "20", "--layers", "1", "--length", "9", "--phase", "train")


def test_the_step_is_in_the_answer(seqcost):
    plain = seqcost(*SMALL, "--trace", "--json").json
    step = seqcost(*SMALL, "--optimizer", "adamw", "--accumulate", "4", "--json").json
    assert (step["optimizer"], step["accumulate"], step["rung"]) == ("adamw", 4, "fake tensors")
    assert step["flops"] == 4 * plain["flops"]
    assert any(line["name"].startswith("optimizer.") for line in step["lines"])
    assert sum(step["memory"]["categories"].values()) == step["memory"]["peak_bytes"] == step["peak_bytes"]
    assert "timeline" not in step
    assert plain["optimizer"] is None


@pytest.mark.slow
def test_memory_as_tables(seqcost):
    ended = seqcost(*SMALL, "--optimizer", "adamw", "--memory")
    assert ended.code == 0
    for words in ("memory at the peak", "optimizer state", "gradients", "saved activations by module"):
        assert words in ended.out
    assert "memory at the peak" not in seqcost(*SMALL, "--trace").out


def test_the_timeline_is_a_picture_and_rows(seqcost, tmp_path):
    ended = seqcost(*SMALL, "--optimizer", "sgd", "--timeline", "step.png", "--json")
    assert (tmp_path / "step.png").read_bytes().startswith(b"\x89PNG")
    moments = ended.json["timeline"]["moments"]
    assert max(row[1] for row in moments) == ended.json["peak_bytes"]
    assert {row[2] for row in moments} == {"forward", "backward", "optimizer"}
    assert {len(sizes) for sizes in ended.json["timeline"]["categories"].values()} == {len(moments)}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--optimizer", "adamx"), "did you mean"),
        (("--optimizer", "sgd", "--phase", "forward"), "choose phase train"),
        (("--accumulate", "0"), "at least 1"),
        (("--timeline", "step.pdf"), "ends in .png"),
        (("--timeline", "step.png", "--length", "12"), "give --length once"),
    ],
)
def test_mistakes_are_a_sentence(seqcost, arguments, sentence):
    ended = seqcost(*SMALL, *arguments)
    assert ended.code == 2
    assert sentence in ended.err
    assert len(ended.err.strip().splitlines()) == 1
