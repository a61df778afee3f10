import contextlib
import io
import json
import sys

import pytest

from seqcost.cli.main import main
from seqcost.errors import BadTarget, MissingExtra

WRONG = [
    (["count", "nosuch"], "unknown architecture or preset 'nosuch'"),
    (["count", "lstmm"], "did you mean lstm or minlstm?"),
    (["count", "gpt2", "--length", "0"], "length '0' was given; a whole number of at least 1"),
    (["count", "gpt2", "--length", "-1"], "length '-1' was given"),
    (["count", "gpt2", "--length", "abc"], "length 'abc' was given"),
    (["count", "gpt2", "--batch", "x"], "--batch 'x' was given"),
    (["count", "gpt2", "--width", "0"], "--width '0' was given"),
    (["count", "gpt2", "--set", "H=7"], "768 does not divide by 7"),
    (["count", "gpt2", "--set", "D"], "LETTER=VALUE is allowed"),
    (["count", "gpt2", "--set", "norm=foo"], "choose 'layer', 'rms'"),
    (["count", "gpt2", "--phase", "sideways"], "unknown phase 'sideways'"),
    (["count", "gpt2", "--dtype", "int3"], "unknown dtype 'int3'"),
    (["count", "bert-base", "--phase", "decode"], "sees the future"),
    (["count", "gpt2", "--explain", "flop"], "unknown quantity 'flop': did you mean flops?"),
    (["count", "gpt2", "--explain", "flops:blocks.attentoin"], "did you mean blocks.attention or "),
    (["count", "gpt2", "--explain", "flops:attend"], "did you mean blocks.attention.attend?"),
    (["count", "bert-base", "--explain", "state_bytes"], "state_bytes of bert-base is not known: the model sees the"),
    (["count", "users:slow", "--explain", "flop"], "unknown quantity 'flop'"),
    (["count", "gpt2", "--by", "modules"], "did you mean module?"),
    (["count", "users:slow", "--by", "modules"], "did you mean module?"),
    (["count", "gpt2", "--by", "operator"], "trace the layer for them (trace=True, --trace)"),
    (["count", "gpt2", "--by", "operator", "--rank", "params", "--trace"], "params is no cost of operators"),
    (["count", "gpt2", "--rank", "flop"], "did you mean flops?"),
    (["count", "gpt2", "--depth", "2"], "--depth 2 was given without --by module"),
    (["count", "gpt2", "--by", "module", "--depth", "x"], "--depth 'x' was given; a whole number"),
    (["count", "gpt2", "--by", "line", "--length", "64,128"], "--by was given with 2 lengths"),
    (["count", "gpt2", "--explain", "flops", "--length", "64,128"], "--explain was given with 2 lengths"),
    (["count", "gpt2", "--by", "line", "--explain", "flops", "--csv"], "one table of rows"),
    (["count", "gpt2", "--parquet", "rows.csv"], "a name that ends in .parquet is allowed"),
    (["count", "gpt2", "--parquet", "latin.txt/rows.parquet"], "latin.txt is a file, no folder"),
    (["compare", "lstm", "--parquet", "rows"], "a name that ends in .parquet is allowed"),
    (["claims", "21"], "claim 21 was given; whole numbers from 1 to 20 are allowed"),
    (["claims", "x"], "claim 'x' was given; a whole number"),
    (["claims", "1", "--page", "claims.html"], "a name that ends in .md is allowed"),
    (["claims", "1", "--processes", "0"], "--processes '0' was given"),
    (["count", "gpt2", "--letters", "D=W"], "unknown setting of gpt2 'W'"),
    (["count", "gpt2", "--latex", "--json"], "--latex was given with --json; it prints by itself"),
    (
        ["count", "gpt2", "--latex", "--parquet", "a.parquet", "--by", "line"],
        "given with --parquet and --by; it prints",
    ),
    (["explain", "lstm", "--latex", "--html", "page.html"], "--latex was given with --html; it prints by itself"),
    (["count", "gpt2", "--letters", "T=D"], "the letter 'T' was given; a word other than T and B"),
    (["count", "gpt2", "--letters", "D="], "letters 'D=' were given; auto, or LETTER=SETTING"),
    (["count", "gpt2", "--letters", "Q"], "no known setting for the letter Q; write Q=SETTING"),
    (["count", "gpt2", "--letters", "D,D"], "the letter D was given twice"),
    (["count", "gpt2", "--letters", "D,W=D"], "D was given two letters"),
    (["count", "gpt2", "--letters", "N=norm"], "norm = 'layer' of gpt2 is no size"),
    (["count", "gpt2", "--letters", "auto", "--csv"], "no place for formulas"),
    (["count", "gpt2", "--letters", "auto", "--causal", "half"], "leave --causal out"),
    (
        ["count", "hf:gpt2", "--letters", "F=n_inner"],
        "n_inner = None of hf:gpt2 is no size of at least 1; set it first",
    ),
    (["count", "users:Boom", "--letters", "auto"], "kaboom"),
    (["count", "gpt2", "--nosuch"], "No such option: --nosuch"),
    (["count"], "Missing argument"),
    (["nosuch"], "No such command"),
    (["diff", "gpt2"], "Missing argument"),
    (["diff", "gpt2", "gtp2"], "did you mean gpt2"),
    (["diff", "gpt2", "gpt2", "--set-b", "H"], "--set-b 'H' was given; LETTER=VALUE"),
    (["diff", "gpt2", "gpt2", "--length", "64,128"], "--length '64,128' was given; a whole number"),
    (["fit", "transformer", "--memory", "1MiB"], "parameters of transformer alone take 72.7 MiB in float32; give more"),
    (["fit", "transformer", "--memory", "24G"], "memory = '24G' was given; an amount above 0 with a unit"),
    (["fit", "transformer", "--memory", "-1GiB"], "an amount above 0 with a unit"),
    (["fit", "transformer", "--for", "K"], "unknown size to look for 'K'"),
    (["fit", "users:slow", "--for", "D", "--memory", "1GiB"], "which has no such setting; choose length or batch"),
    (["fit", "transformer", "--machine", "abacus"], "unknown machine 'abacus'"),
    (["fit", "transformer", "--time", "0s"], "time = '0s' was given; a time above 0 with a unit"),
    (
        ["fit", "transformer", "--time", "1us", "--machine", "h100"],
        "time = 1 µs was given, and T = 1 of transformer takes",
    ),
    (["fit", "transformer", "--time", "1h", "--machine", "h100", "--dtype", "float64"], "h100 has no peak for float64"),
    (["fit", "bert-base", "--phase", "decode"], "sees the future"),
    (["explain", "nosuch"], "unknown architecture or preset"),
    (["compare", "lstm", "--text", "book.txt"], "add --measure"),
    (["compare", "lstm", "--measure", "--text", "nofile.txt"], "cannot be read (No such file or directory)"),
    (["compare", "lstm", "--measure", "--text", "latin.txt"], "is not UTF-8 (byte 2 is 0xef)"),
    (["compare", "lstm", "--measure", "--lengths", "10^30"], "formulas take any length"),
    (["measure"], "no target was given; name at least one"),
    (["measure", "nosuch"], "unknown architecture or preset 'nosuch'"),
    (["measure", "lstm", "--processes", "0"], "--processes '0' was given; a whole number of at least 1"),
    (["measure", "lstm", "--processes", "1M"], "processes 1,048,576 was given; at most 1,000 is allowed"),
    (["measure", "lstm", "--retries", "many"], "retries = 'many' was given; a whole number from 0 to 100 is allowed"),
    (["measure", "lstm", "--retries", "101"], "a whole number from 0 to 100 is allowed"),
    (["measure", "lstm", "--threads", "9999"], "threads 9,999 was given; at most"),
    (["measure", "lstm", "--lengths", "10^30"], "give shorter --lengths."),
    (["measure", "lstm", "--time-limit", "soon"], "a whole number of seconds (60, 300) is allowed"),
    (["measure", "lstm", "--memory-limit", "8Q"], "a whole number of bytes (8G, 512M, 10^9) is allowed"),
    (["measure", "lstm", "--text", "latin.txt"], "is not UTF-8 (byte 2 is 0xef)"),
    (["measure", "lstm", "--store", "latin.txt"], "not a database"),
    (["measure", "lstm", "--parquet", "rows"], "a name that ends in .parquet is allowed"),
    (["measure", "spoilt.safetensors"], "spoilt.safetensors"),
    (["compare", "lstm", "--lengths", "8", "--out", "latin.txt/report"], "cannot be written"),
    (["results", "--store", "nofile.sqlite"], "does not exist"),
    (["results", "--store", "latin.txt"], "not a database"),
    (["results", "--export", "runs.xls"], "ends in .csv or .parquet"),
    (["count", "users:boom"], "kaboom"),
    (["count", "users:raises"], "ValueError"),
    (["count", "users:number"], "a torch.nn.Module"),
    (["count", "users:missing"], "has no missing"),
    (["count", "users:Odd", "--strict"], "1 operator of users:Odd has no formula (users::odd in the module itself: 1"),
    (["count", "nomodule:x"], "could not be imported"),
    (["count", "no/model.safetensors"], "is not there; name a safetensors file"),
    (["count", "gone.pt2"], "is not there; name a file that torch.export.save has written"),
    (["count", "gone.onnx"], "is not there; name an ONNX file"),
    (["count", "latin.txt"], "latin.txt was given; a file that ends in"),
    (["count", "spoilt.safetensors"], "the safetensors header of spoilt.safetensors is spoilt"),
    (["count", "spoilt.pt2"], "is no program of torch.export"),
    (["count", "spoilt.safetensors", "--letters", "auto"], "the safetensors header of"),
    (["check", "spoilt.safetensors"], "holds weights alone, which cannot be run"),
    (["count", "lstm", "--length", "9" * 5000], "9' was given; a number of at most 1,000 digits is allowed"),
    (["count", "lstm", "--length", "99999^999"], "length '99999^999' was given; a number of at most 1,000 digits"),
    (["count", "lstm", "--set", f"D={'9' * 5000}"], "9' was given; a number of at most 1,000 digits is allowed"),
    (["count", "lstm", "--set", "D=1e999"], "'1e999' was given, which is beyond the largest number"),
    (["explain", "lstm", "--set", "foo=1"], "unknown size of lstm 'foo'"),
    (["explain", "mamba2-layer", "--set", "foo=1"], "unknown size of mamba2-layer 'foo'"),
    (["explain", "lstm", "--set", "T=5"], "a formula page leaves B, T and S open: ask seqcost count lstm"),
    (["explain", "gpt2", "--set", "norm=foo"], "choose 'layer', 'rms'"),
    (["explain", "gpt2", "--html", "latin.txt/page.html"], "latin.txt is a file, no folder"),
    (["count", "gpt2", "--timeline", "latin.txt/step.png"], "latin.txt is a file, no folder"),
    (["count", "gpt2", "--optimizer", "adamw"], "only train has gradients"),
    (["compare", "lstm", "--lengths", "8", "--out", "latin.txt"], "latin.txt is a file, no folder"),
    (["compare", "lstm", "--memory-limit", "8Q"], "a whole number of bytes (8G, 512M, 10^9) is allowed"),
    (["compare", "spoilt.onnx", "gpt2", "--lengths", "8"], "is not an ONNX graph"),
]

USERS = """
import torch

class Boom(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
    def forward(self, x):
        raise RuntimeError("kaboom")

LIBRARY = torch.library.Library("users", "DEF")
LIBRARY.define("odd(Tensor x) -> Tensor")
LIBRARY.impl("odd", lambda x: x.cumsum(-1), "CompositeExplicitAutograd")
torch.library.register_fake("users::odd", torch.empty_like, lib=LIBRARY)

class Odd(torch.nn.Linear):
    def __init__(self):
        super().__init__(4, 4)
    def forward(self, x):
        return torch.ops.users.odd(x)

boom = Boom
def raises(): raise ValueError("cannot build")
def number(): return 3
def slow(): raise AssertionError("a word that means nothing is refused before anything is built")
"""


@pytest.mark.parametrize(("words", "says"), WRONG, ids=[" ".join(words)[:60] for words, _ in WRONG])
def test_one_sentence_and_exit_code_2(seqcost, tmp_path, words, says):
    (tmp_path / "users.py").write_text(USERS, "utf-8")
    (tmp_path / "latin.txt").write_bytes(b"na\xefve")
    for end in ("safetensors", "pt2", "onnx"):
        (tmp_path / f"spoilt.{end}").write_bytes(b"\xff" * 40)
    before = sorted(p.name for p in tmp_path.iterdir())
    ended = seqcost(*words)
    assert ended.code == 2
    assert says in ended.err
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    left = {p.name for p in tmp_path.iterdir()} - set(before) - {"__pycache__", "runs.sqlite"}
    assert not left, "nothing half-written"


def test_a_place_that_cannot_be_written_is_refused_before_anything_is_worked_out(monkeypatch, tmp_path):
    """The answer is never asked for: it would be, were the place looked at when it is needed."""
    from seqcost.cli import compare, count
    from seqcost.questions import compare as question

    for module, name in ((question, "compare"), (count, "count")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("work began"))
    (tmp_path / "file").write_text("")
    with pytest.raises(BadTarget, match="is a file, no folder"):
        compare.compare_command(targets=["lstm"], out=tmp_path / "file")
    with pytest.raises(BadTarget, match="is a file, no folder"):
        count.count_command("lstm", timeline=tmp_path / "file" / "step.png")
    (tmp_path / "step.png").mkdir()
    with pytest.raises(BadTarget, match="it is a folder"):
        count.count_command("lstm", timeline=tmp_path / "step.png")


def test_parquet_without_pyarrow_is_refused_before_anything_is_worked_out(monkeypatch, tmp_path):
    from seqcost.cli import options

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'seqcost\[parquet\]'"):
        options.check_parquet(tmp_path / "rows.parquet")


@pytest.mark.parametrize("encoding", ["gbk", "cp1252", "ascii", "shift_jis"])
@pytest.mark.parametrize("words", [("count", "lstm"), ("explain", "mamba"), ("count", "gpt2", "--json"), ("list",)])
def test_an_encoding_that_lacks_our_signs_gets_their_spelling(monkeypatch, encoding, words):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setattr(sys, "argv", ["seqcost", *words])
    with contextlib.suppress(SystemExit):
        main()
    sys.stdout.flush()
    text = raw.getvalue().decode(encoding)
    assert text
    assert "?" not in text
    if "--json" in words:
        assert json.loads(text)["flops"] == 291648307200


def test_a_table_of_positions_that_is_too_short_is_told_beside_the_table(seqcost):
    assert "exceeds the 1,024 learned positions" in seqcost("count", "gpt2", "--length", "2k").out
    assert "learned positions" not in seqcost("count", "gpt2", "--length", "1k").out
    pytest.importorskip("transformers")
    traced = seqcost("count", "hf:gpt2", "--layers", "1", "--length", "2k").out
    assert "asks for row 2,047 of transformer.wpe, a table of rows 0 to 1,023" in " ".join(traced.split())


def test_a_length_beyond_all_runs_is_exact_for_a_formula(seqcost):
    data = seqcost("count", "gpt2", "--length", "10^30", "--json").json
    assert data["flops"] == 36864 * 10**60 + 247064064 * 10**30
