"""`seqcost machines`: the list, one machine with all its values, and what cannot be read."""

import contextlib
import csv
import io
import json
import sys
from dataclasses import replace

import pytest

from seqcost.cli.main import main
from seqcost.machines import known_machines, machine_named, write
from seqcost.machines.shelf import DATA
from seqcost.report.machines import list_table, listed, plain


def test_the_list_has_every_machine_and_fits_80_columns(seqcost):
    ended = seqcost("machines")
    lines = ended.out.splitlines()
    assert ended.code == 0
    assert "left out" not in ended.out
    assert max(map(len, lines)) <= 80
    for machine in known_machines():
        assert any(line.split()[:1] == [machine.name] and machine.edition in line for line in lines)
    assert any(
        line.split() == ["h100", "gpu", "80", "3,352", "989", "66.9", "datasheet", "2023-03-21"] for line in lines
    )


def test_the_list_as_json_and_csv_has_every_peak(seqcost):
    rows = seqcost("machines", "--json").json
    assert [row["name"] for row in rows] == [machine.name for machine in known_machines()]
    l4 = next(row for row in rows if row["name"] == "l4")
    assert l4["peaks"]["fp8"] == 242.5e12
    assert l4["memory_bytes"] == 24 * 10**9
    table = list(csv.DictReader(io.StringIO(seqcost("machines", "--csv").out)))
    assert {row["name"]: row["peak_fp8"] for row in table}["l4"] == "242500000000000.0"
    assert {row["name"]: row["peak_fp8"] for row in table}["m1"] == ""


@pytest.mark.parametrize("name", ["h100", "h100@datasheet", "m2-max", "graviton4"])
def test_a_machine_has_every_value_with_its_source(seqcost, name):
    machine = machine_named(name)
    found = seqcost("machines", name, "--json").json
    told = [
        tuple(row[key] for key in ("value", "amount", "unit", "worth", "source", "date")) for row in found["values"]
    ]
    kept = [(place, v.amount, v.unit, v.kind, v.source, v.date) for place, v in machine.values()]
    assert told == kept
    assert sum(row["points"] for row in found["series"]) == sum(map(len, machine.series))
    shown = seqcost("machines", name)
    assert "left out" not in shown.out
    assert max(map(len, shown.out.splitlines())) <= 80
    for place, value in machine.values():
        assert any(line.strip().startswith(place) and value.kind in line for line in shown.out.splitlines()), place
    assert all(value.source in " ".join(shown.out.split()) for _, value in machine.values())


def test_what_was_timed_is_told_with_its_error(seqcost):
    out = seqcost("machines", "h100").out
    assert "kernels that were timed" in out
    median, p90 = machine_named("h100").error["product"]
    line = next(line.split() for line in out.splitlines() if line.split()[:1] == ["product"])
    assert line[-4:] == [f"{100 * median:.1f}", "%", f"{100 * p90:.1f}", "%"]


def test_a_peak_that_was_worked_out_marks_its_machine():
    worths = {row["name"]: row["worth"] for row in map(listed, known_machines()) if row["edition"] != "2026-11-27"}
    assert (worths["m1"], worths["m2-max"], worths["xeon-8480"]) == ("datasheet", "assumed", "assumed")
    assert listed(machine_named("h100"))["worth"] == "measured"


def test_a_profile_of_one_s_own_is_shown(seqcost, tmp_path):
    write(machine_named("l4"), tmp_path / "mine.toml")
    assert seqcost("machines", "mine.toml", "--json").json == seqcost("machines", "l4", "--json").json


def test_this_machine_stands_first_once_it_is_calibrated():
    here = replace(machine_named("epyc-9654"), name="here", threads=2)
    table = list_table([listed(machine) for machine in (*known_machines(), here)])
    assert table.rows[0][0] == "here"


def test_nothing_calibrated_says_how(seqcost):
    ended = seqcost("machines", "here")
    assert ended.code == 2
    assert "run `seqcost calibrate`" in ended.err
    assert ended.err.count("\n") == 1


GOOD = (DATA / "l4_2023-03.toml").read_text("utf-8")
BAD = {
    "amount missing": (GOOD.replace("amount = 24000000000, ", ""), "memory: amount is missing."),
    "no memory": (GOOD.replace("memory = ", "environment.memory = "), "memory is missing."),
    "negative": (GOOD.replace("amount = 300e9", "amount = -300e9"), "bandwidth.amount: -300000000000.0 was given"),
    "nought": (GOOD.replace("amount = 300e9", "amount = 0"), "a finite number above 0 is allowed"),
    "infinite": (GOOD.replace("amount = 300e9", "amount = inf"), "a finite number above 0 is allowed"),
    "another unit": (GOOD.replace('unit = "B/s"', 'unit = "GB/s"', 1), "'GB/s' was given; B/s is its unit"),
    "unknown key": (GOOD.replace("bandwidth = ", "width = "), "unknown key 'width'"),
    "unknown format": (GOOD.replace("peaks.tf32", "peaks.tf33"), "'tf33' was given; choose from"),
    "text for a number": (GOOD.replace("amount = 300e9", 'amount = "fast"'), "'fast' was given; a number is allowed"),
    "unknown source": (GOOD.replace('source = "sheet"', 'source = "web"', 1), "choose from the tables in sources"),
    "device": (GOOD.replace('device = "gpu"', 'device = "npu"'), "device: 'npu' was given; choose from"),
    "date": (GOOD.replace('date = "2023-03"', 'date = "March"'), "'March' was given; a date as"),
    "no TOML": ("memory = 24 GB\n", "it is not TOML"),
    "empty": ("", "are missing."),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_profile_is_one_sentence(case, tmp_path):
    text, said = BAD[case]
    assert text != GOOD
    (tmp_path / "bad.toml").write_text(text, "utf-8")
    for words in (["machines", "bad.toml"], ["predict", "gpt2", "--machine", "bad.toml"]):
        code, out, err = run(words, tmp_path)
        assert code == 2
        assert said in err
        assert err.startswith("seqcost: bad.toml: ")
        assert err.count("\n") == 1
        assert not out


def run(words, folder):
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["seqcost", *words]
    try:
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
    finally:
        sys.argv = before
    return ended.value.code, out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("nosuch", "unknown machine 'nosuch'"),
        ("h100@1999", "unknown edition of h100 '1999'"),
        ("nosuch.toml", "nosuch.toml cannot be read (No such file or directory)"),
        ("folder.toml", "folder.toml cannot be read (Is a directory)"),
        ("latin.toml", "latin.toml is not UTF-8"),
        ("../h100", "unknown machine '../h100'"),
        ("*", "unknown machine '*'"),
        ("", "unknown machine ''"),
    ],
)
def test_a_machine_that_is_none_is_one_sentence(word, said, tmp_path):
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "latin.toml").write_bytes(b'name = "\xe9"\n')
    for words in (["machines", word], ["predict", "gpt2", "--machine", word]):
        code, out, err = run(words, tmp_path)
        assert code == 2
        assert said in err
        assert err.count("\n") == 1
        assert not out


def test_plain_data_is_json():
    for machine in known_machines():
        assert json.loads(json.dumps(plain(machine)))["machine"] == machine.key
