"""What a shell is offered, asked as bash asks; and the two other ways to the command."""

import json
import os
import subprocess
import sys

import pytest

import seqcost
from seqcost.formulas.catalogue import CATALOGUE

ASK = """
import contextlib, io, json, os, sys
from seqcost.cli.main import main
found = []
for line in json.loads(sys.argv.pop()):
    words = line.split(" ")
    os.environ |= {"_SEQCOST_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    sys.argv = ["seqcost"]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main()
    found.append(out.getvalue().split())
print(json.dumps([found, sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "sympy"})]))
"""

OFFERED = {
    "seqcost cou": ["count"],
    "seqcost count gpt2-": ["gpt2-medium", "gpt2-large", "gpt2-xl"],
    "seqcost count h": ["hybrid", "hf:"],
    "seqcost explain mamba2": ["mamba2-layer", "mamba2"],
    "seqcost check minl": ["minlstm-layer", "minlstm"],
    "seqcost diff gpt2 gpt2-m": ["gpt2-medium"],
    "seqcost compare lstm hf": ["hf:"],
    "seqcost compare lstm min": ["mingru-layer", "minlstm-layer", "mingru", "minlstm"],
    "seqcost count gpt2 --dtype b": ["bfloat16", "bf16"],
    "seqcost count gpt2 --phase ": ["forward", "train", "prefill", "decode"],
    "seqcost compare gpt2 --phase de": ["decode"],
    "seqcost count gpt2 --by ": ["module", "operator", "line"],
    "seqcost count gpt2 --rank fl": ["flops"],
    "seqcost count gpt2 --causal ": ["full", "half"],
    "seqcost count gpt2 --explain saved": ["saved_bytes"],
    "seqcost count gpt2 --optimizer sgd": ["sgd", "sgd:momentum=0.9"],
    "seqcost check lstm --sees ": ["past", "both", "auto"],
    "seqcost count gpt2 --set norm": ["norm="],
    "seqcost count gpt2 --set norm=": ["norm=layer", "norm=rms"],
    "seqcost diff gpt2 gpt2-medium --set-b norm=l": ["norm=layer"],
}


@pytest.fixture(scope="module")
def offered():
    ended = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps([*OFFERED])], capture_output=True, text=True, check=True
    )
    found, loaded = json.loads(ended.stdout)
    return dict(zip(OFFERED, found, strict=True)), loaded


@pytest.mark.parametrize("line", OFFERED)
def test_what_is_offered(offered, line):
    assert offered[0][line] == OFFERED[line]


def test_an_offer_loads_neither_torch_nor_sympy(offered):
    assert offered[1] == []


def test_every_name_of_the_catalogue_is_offered():
    from seqcost.cli.completion import names

    assert [name for name, _ in names("")] == [*CATALOGUE]


def test_python_m_seqcost_is_the_command_and_says_its_version():
    ended = subprocess.run(
        [sys.executable, "-m", "seqcost", "--version"], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert ended.stdout == f"seqcost {seqcost.__version__}\n"
    assert ended.stderr == ""


def test_dir_shows_all_that_is_offered():
    assert set(seqcost.__all__) <= set(dir(seqcost))
