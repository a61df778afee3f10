"""`seqcost predict` and `seqcost calibrate` from outside."""

import csv
import io

import pytest


def test_time_memory_and_what_bounds_it_at_80_columns(seqcost):
    ended = seqcost("predict", "transformer-block", "-n", "64", "--width", "64")
    assert ended.code == 0, ended.err
    assert max(map(len, ended.out.splitlines())) <= 80
    for words in ("interval", "bound by", "estimate basis: this machine, never calibrated", "check: seqcost measure"):
        assert words in ended.out


def test_json_and_csv_hold_the_same(seqcost):
    asked = ("predict", "rnn-layer", "-n", "16,32", "--width", "16", "--phase", "decode")
    found = seqcost(*asked, "--json").json
    rows = list(csv.DictReader(io.StringIO(seqcost(*asked, "--csv").out)))
    assert [row["seconds"]["mid"] for row in found] == [float(row["mid_s"]) for row in rows]
    assert [row["sizes"]["T"] for row in found] == [16, 32]


def test_the_roofline_is_a_picture(seqcost, tmp_path):
    pytest.importorskip("matplotlib")
    ended = seqcost("predict", "transformer-block", "-n", "64", "--width", "64", "--roofline", "roof.png")
    assert ended.code == 0, ended.err
    assert (tmp_path / "roof.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "gpt2", "--machine", "h99"), "unknown machine 'h99'"),
        (("predict", "gpt2", "--machine", "nowhere.toml"), "nowhere.toml"),
        (("predict", "gpt2", "--roofline", "roof.jpg"), "a name that ends in .png is allowed"),
        (("predict", "gpt2", "--threads", "none"), "--threads"),
        (("calibrate", "--output", "here.json"), "a name that ends in .toml is allowed"),
        (("calibrate", "--dtype", "float3"), "float3"),
        (("calibrate", "--from-records"), "there is no profile"),
        (("calibrate", "--from-records", "--anyway"), "anyway was given with from_records"),
        (("calibrate", "--store", "runs.sqlite"), "store was given without from_records"),
        (("calibrate", "--threads", "100000"), "threads = 100000 was given; this process may use"),
    ],
)
def test_bad_input_is_one_sentence(seqcost, words, said):
    ended = seqcost(*words)
    assert ended.code == 2
    assert said in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert "Traceback" not in ended.err


@pytest.mark.slow
def test_a_calibration_is_what_predictions_read_from_then_on(seqcost):
    """On one thread, and however busy the machine is."""
    ended = seqcost("calibrate", "--threads", "1", "--anyway")
    assert ended.code == 0, ended.err
    assert "kept as here@" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    found = seqcost("predict", "transformer-block", "-n", "64", "--width", "64", "--json").json
    assert found["machine"].startswith("here@")
    assert found["bases"].get("prior", 0) < 0.2
