"""What a shell or a CI reads: 0 for an answer, 1 for a check that fails, 2 for a mistake, 130 for Ctrl-C."""

import subprocess
import sys
from pathlib import Path

import pytest

USERS = """
import os, signal, sys, torch
from torch import nn

class Sound(nn.Linear):
    def __init__(self):
        super().__init__(4, 4)

class LooksAhead(Sound):
    def forward(self, x):
        return super().forward(x) + x.roll(-1, 1)

class Carries(nn.GRU):
    def __init__(self):
        super().__init__(4, 4, batch_first=True)
    def forward(self, x, hx=None):
        return super().forward(x, None)

class Leaves(Sound):
    def forward(self, x):
        sys.exit(0)

def leaves(): sys.exit(0)
def interrupted(): os.kill(os.getpid(), signal.SIGINT)
"""
LEAVES = "import sys; sys.exit(0)"
CASES = {
    ("check", "users:Sound"): (0, ""),
    ("check", "users:Carries"): (1, ""),
    ("check", "users:Carries", "--json"): (1, ""),
    ("check", "users:leaves"): (2, "users:leaves raised SystemExit: 0"),
    ("check", "users:Leaves"): (2, "users:Leaves raised SystemExit: 0"),
    ("count", "users:Leaves"): (2, "SystemExit, 0"),
    ("count", "leaving:make"): (2, "leaving could not be imported: SystemExit: 0"),
    ("count", "users:interrupted"): (130, "interrupted"),
}


@pytest.mark.parametrize(("words", "ends"), CASES.items(), ids=[" ".join(words) for words in CASES])
def test_exit_code(seqcost, tmp_path, words, ends):
    (tmp_path / "users.py").write_text(USERS, "utf-8")
    (tmp_path / "leaving.py").write_text(LEAVES, "utf-8")
    code, says = ends
    ended = seqcost(*words)
    assert ended.code == code
    assert says in ended.err
    assert "Traceback" not in ended.err
    assert (ended.err == "") == (code < 2)


def test_a_notebook_lives_on_when_a_target_leaves():
    import torch

    import seqcost

    class Leaves(torch.nn.Linear):
        def forward(self, x):
            raise SystemExit(3)

    for question in (seqcost.count, seqcost.check):
        with pytest.raises(seqcost.errors.SeqcostError, match="SystemExit"):
            question(Leaves(4, 4))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
@pytest.mark.parametrize("words", [["count", "gpt2", "--json"], ["list"], ["--help"]], ids=" ".join)
def test_a_full_disk_is_told_in_one_sentence(words):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "seqcost", *words]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    said = "seqcost: cannot write the answer (No space left on device): make room, or write elsewhere.\n"
    assert (ended.returncode, ended.stderr) == (2, said)
