import csv
import io

import pytest

from seqcost.formulas.catalogue import CATALOGUE


def test_list_has_a_line_for_every_name(seqcost):
    ended = seqcost("list")
    assert ended.code == 0
    assert all(name in ended.out for name in CATALOGUE)
    assert {row["name"] for row in seqcost("list", "--json").json} == set(CATALOGUE)
    assert len(list(csv.DictReader(io.StringIO(seqcost("list", "--csv").out)))) == len(CATALOGUE)


def test_count_as_a_table_fits_80_columns(seqcost):
    ended = seqcost("count", "gpt2")
    assert ended.code == 0
    assert "291,648,307,200" in ended.out
    assert "36864·T² + 247064064·T" in ended.out
    assert "blocks.feed_forward.up" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80


def test_count_one_length_is_an_object_several_a_list(seqcost):
    assert seqcost("count", "lstm", "--length", "1k", "--json").json["sizes"]["T"] == 1024
    rows = seqcost("count", "lstm", "--length", "64..256", "--length", "7", "--json").json
    assert [row["sizes"]["T"] for row in rows] == [64, 128, 256, 7]
    rows = list(csv.DictReader(io.StringIO(seqcost("count", "lstm", "--length", "64..256", "--csv").out)))
    assert [row["T"] for row in rows] == ["64", "128", "256"]


def test_sizes_by_letter_and_by_word_are_the_same(seqcost):
    letters = seqcost("count", "gpt2", "--set", "D=512", "--set", "L=6", "--set", "H=8", "--json").json
    words = seqcost("count", "gpt2", "--width", "512", "--layers", "6", "--heads", "8", "--json").json
    assert letters == words
    assert letters["sizes"]["F"] == 2048


def test_explain_in_every_form(seqcost, tmp_path):
    text = seqcost("explain", "lstm").out
    assert "cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ gₜ" in text
    assert "four matrix-vector" in text
    assert "Hochreiter" in text
    assert r"\begin{aligned}" in seqcost("explain", "lstm", "--latex").out
    assert seqcost("explain", "lstm", "--json").json["sections"][0]["name"] == "lstm-layer"
    assert "8*B*N**2*T" in seqcost("explain", "lstm", "--csv").out
    ended = seqcost("explain", "lstm", "--html", "page.html")
    assert ended.code == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "<table>" in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.slow
def test_compare_measures_and_writes_one_page_and_pictures(seqcost, tmp_path):
    ended = seqcost("compare", "rnn", "lstm", "--width", "16", "--lengths", "8,32", "--measure",
                    "--processes", "1", "--retries", "0", "--out", "report")  # fmt: skip
    assert ended.code == 0, ended.err
    assert "measured on this machine" in ended.out
    assert "crossovers" in ended.out
    page = (tmp_path / "report" / "index.html").read_text("utf-8")
    assert page.count("data:image/png;base64,") >= 6
    assert "src='http" not in page
    assert 'src="http' not in page
    pictures = list((tmp_path / "report").glob("*.png"))
    assert len(pictures) >= 7
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)
    results = seqcost("results", "--json").json
    assert [r["status"] for r in results] == ["ok"] * 4
    assert "rnn" in seqcost("results").out


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_results_are_exported(seqcost, tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    seqcost("measure", "rnn", "--width", "16", "--lengths", "8", "--processes", "1", "--retries", "0")
    ended = seqcost("results", "--export", f"runs.{suffix}")
    assert ended.code == 0
    assert (tmp_path / f"runs.{suffix}").stat().st_size > 0


def test_results_before_any_run(seqcost):
    ended = seqcost("results")
    assert ended.code == 0
    assert "nothing has been measured" in ended.out


def test_code_of_the_user_is_counted(seqcost, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\n"
        "def mlp():\n"
        "    return torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.GELU(), torch.nn.Linear(32, 8))\n",
        "utf-8",
    )
    data = seqcost("count", "mine:mlp", "--length", "64", "--json").json
    assert data["flops"] == 2 * 64 * 2 * 8 * 32
    assert data["rung"] != "formula"
    assert data["polynomials"]["flops"]["coefficients"] == ["0", "1024"]


def test_help_names_every_command(seqcost):
    ended = seqcost("--help")
    assert ended.code == 0
    assert all(command in ended.out for command in ("list", "explain", "count", "compare", "results"))


def test_fit_shows_both_sides_of_the_limit(seqcost):
    words = ("fit", "transformer", "--memory", "24GiB", "--length", "1M", "--no-remedies")
    ended = seqcost(*words)
    assert ended.code == 0, ended.err
    assert "T = 1,048,576 does not fit" in ended.out
    assert "blocks.feed_forward" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    data = seqcost(*words, "--json").json
    assert data["peak_bytes"] <= data["limit_bytes"] == 24 * 2**30 < data["next_peak_bytes"]
    assert (data["next_size"], data["asked"]["fits"], data["at"]) == (data["size"] + 1, False, 2**20)
    (row,) = csv.DictReader(io.StringIO(seqcost(*words, "--csv").out))
    assert (row["size"], row["bound"]) == (str(data["size"]), "memory")


def test_fit_says_which_limit_binds(seqcost):
    words = ("fit", "gpt2", "--memory", "24GiB", "--machine", "h100", "--time", "10ms", "--phase", "forward",
             "--for", "batch", "--no-remedies")  # fmt: skip
    ended = seqcost(*words)
    assert ended.code == 0, ended.err
    assert "the time binds" in " ".join(ended.out.split())
    assert "takes longer" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    data = seqcost(*words, "--json").json
    assert data["time"]["seconds"]["mid"] <= data["time"]["limit_s"] == 0.01 < data["time"]["next_seconds"]["mid"]
    (row,) = csv.DictReader(io.StringIO(seqcost(*words, "--csv").out))
    assert (row["bound"], row["limit_s"], row["size"]) == ("time", "0.01", str(data["size"]))


def test_fit_tries_remedies(seqcost):
    words = ("fit", "transformer", "--memory", "1GiB", "--length", "100k", "--phase", "decode")
    ended = seqcost(*words)
    assert ended.code == 0, ended.err
    assert "is carried by bfloat16" not in ended.out
    assert "Other models that carry it:" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    data = seqcost(*words, "--json").json["remedies"]
    names = {one["names"][0]: one for one in data["tried"]}
    assert names["state space (Mamba)"]["unbounded"]
    assert names["bfloat16"]["peak_bytes"] > 2**30
    assert data["at"] == 102_400


def test_diff_shows_what_a_change_cost(seqcost):
    words = ("diff", "gpt2", "gpt2", "--set", "L=2", "--set-b", "norm=rms")
    ended = seqcost(*words)
    assert ended.code == 0, ended.err
    assert "norm: layer → rms" in ended.out
    assert "vanishes" in ended.out
    assert max(map(len, ended.out.splitlines())) <= 80
    data = seqcost(*words, "--json").json
    rows = list(csv.DictReader(io.StringIO(seqcost(*words, "--csv").out)))
    assert [row["name"] for row in rows if row["kind"] == "total"] == [row["quantity"] for row in data["quantities"]]
    assert len(rows) == len(data["quantities"]) + len(data["lines"])
