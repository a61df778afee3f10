"""What a question that takes a while says on standard error."""

import os
import pty
import subprocess
import sys
import threading
import time

import pytest

from seqcost.cli import waiting as module
from seqcost.cli.waiting import waiting
from seqcost.progress import listening, tell


@pytest.fixture(autouse=True)
def wanted(monkeypatch):
    monkeypatch.delenv("SEQCOST_PROGRESS")


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    monkeypatch.setattr(module, "_SELDOM", 0.05)


def said(capsys, word):
    """What was said by the time that a line has `word`."""
    out = ""
    while word not in out:
        time.sleep(0.01)
        out += capsys.readouterr().err
    return out


def test_lines_say_what_is_under_way_each_once(impatient, capsys):
    with waiting("counting it"):
        out = said(capsys, "counting")
        tell("tracing it, T = 8")
        out += said(capsys, "T = 8")
    tell("nobody listens any more")
    assert out + capsys.readouterr().err == "seqcost: counting it …\nseqcost: tracing it, T = 8 …\n"


def test_it_can_be_turned_off(impatient, monkeypatch, capsys):
    monkeypatch.setenv("SEQCOST_PROGRESS", "0")
    with waiting("counting it"):
        time.sleep(0.2)
    assert capsys.readouterr().err == ""


def test_what_ends_within_a_second_says_nothing(capsys):
    before = threading.active_count()
    with waiting("counting it") as begin:
        begin("a part")
    assert threading.active_count() == before
    assert capsys.readouterr().err == ""


def test_names_cannot_steer_a_terminal(impatient, capsys):
    with waiting("counting \x1b[2Jit"):
        assert "\x1b" not in said(capsys, "it …")


def test_a_listener_hears_of_its_own_thread_alone():
    heard = []
    with listening(heard.append):
        other = threading.Thread(target=tell, args=("elsewhere",))
        other.start()
        other.join()
        tell("here")
    assert heard == ["here"]


_TERMINAL = """
import time
from seqcost.cli import waiting as module
module._PATIENCE = 0.05
with module.waiting("counting", 3) as begin:
    begin("the first")
    time.sleep(0.5)
    begin("the second")
    time.sleep(0.5)
print("done")
"""


def test_in_a_terminal_a_bar_that_goes_away():
    ours, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "80"}
    running = subprocess.Popen([sys.executable, "-c", _TERMINAL], stderr=theirs, stdout=subprocess.PIPE, env=env)
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        seen += part
    os.close(ours)
    assert running.communicate()[0] == b"done\n"
    assert running.returncode == 0
    text = seen.decode()
    assert "the first" in text
    assert "1/3" in text[text.index("the second") :]
    assert text.rstrip().endswith("\x1b[2K")  # the line is wiped
