import pytest

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
    (["count", "gpt2", "--explain", "peak_bytes"], "peak_bytes of gpt2 is not known: formulas do not follow alloc"),
    (["count", "users:slow", "--explain", "flop"], "unknown quantity 'flop'"),
    (["count", "gpt2", "--by", "modules"], "did you mean module?"),
    (["count", "users:slow", "--by", "modules"], "did you mean module?"),
    (["count", "gpt2", "--by", "operator"], "trace the layer for them (trace=True, --trace)"),
    (["count", "gpt2", "--by", "operator", "--rank", "params", "--trace"], "params is no cost of operators"),
    (["count", "gpt2", "--rank", "flop"], "did you mean flops?"),
    (["count", "gpt2", "--rank", "bytes_moved", "--phase", "train"], "bytes_moved of gpt2 is not known"),
    (["count", "gpt2", "--depth", "2"], "--depth 2 was given without --by module"),
    (["count", "gpt2", "--by", "module", "--depth", "x"], "--depth 'x' was given; a whole number"),
    (["count", "gpt2", "--by", "line", "--length", "64,128"], "--by was given with 2 lengths"),
    (["count", "gpt2", "--explain", "flops", "--length", "64,128"], "--explain was given with 2 lengths"),
    (["count", "gpt2", "--by", "line", "--explain", "flops", "--csv"], "one table of rows"),
    (["count", "gpt2", "--parquet", "rows.csv"], "a name that ends in .parquet is allowed"),
    (["count", "gpt2", "--parquet", "latin.txt/rows.parquet"], "cannot write"),
    (["compare", "lstm", "--parquet", "rows"], "a name that ends in .parquet is allowed"),
    (["count", "gpt2", "--letters", "D=W"], "unknown setting of gpt2 'W'"),
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
    (["explain", "nosuch"], "unknown architecture or preset"),
    (["compare", "lstm", "--text", "book.txt"], "add --measure"),
    (["compare", "lstm", "--measure", "--text", "nofile.txt"], "cannot be read (No such file or directory)"),
    (["compare", "lstm", "--measure", "--text", "latin.txt"], "is not UTF-8 (byte 2 is 0xef)"),
    (["compare", "lstm", "--measure", "--lengths", "10^30"], "formulas take any length"),
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
    (["compare", "spoilt.onnx", "gpt2", "--lengths", "8"], "unknown architecture or preset 'spoilt.onnx'"),
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


@pytest.mark.parametrize(("words", "says"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
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


def test_a_length_beyond_all_runs_is_exact_for_a_formula(seqcost):
    data = seqcost("count", "gpt2", "--length", "10^30", "--json").json
    assert data["flops"] == 36864 * 10**60 + 247064064 * 10**30
