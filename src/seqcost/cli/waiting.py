"""What a question is at, on standard error, once it has taken a second: a bar in a terminal, elsewhere lines.

A part that has a result worth a line (a measured run) has that line at once, where there is no terminal.

SEQCOST_PROGRESS=0 in the environment turns it off, for whoever reads standard error by program.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

from seqcost.foreign import harmless
from seqcost.progress import listening

_PATIENCE = 1.0  # seconds without a word
_SELDOM = 10.0  # seconds between two lines, where they stay: in a file or a log


class Under:
    """What is under way, how many of its parts have been begun, and whether it is over."""

    def __init__(self, what: str, total: int | None) -> None:
        self.total, self.begun, self.over = total, 0, threading.Event()
        self.in_lines = False  # whether what it says stays: in a file or a log
        self.said, self.said_at_s = "", 0.0
        self.say(what)

    def __call__(self, what: object) -> None:
        """The same as `begin`: it is given where a function is asked for."""
        self.begin(what)

    def begin(self, what: object) -> None:
        """One of the parts that are counted."""
        self.begun += 1
        self.say(str(what))

    def say(self, what: str) -> None:
        """What is under way from now on."""
        self.what = harmless(what)

    def end(self, what: str) -> None:
        """A part has ended, with this result."""
        if self.in_lines:
            self.said, self.said_at_s = self.what, time.monotonic()  # that it was under way needs no line any more
            _print(harmless(what))


@contextlib.contextmanager
def waiting(what: str, total: int | None = None) -> Iterator[Under]:
    """Show what is told inside; gives the function that a question of `total` parts tells of each, and its end.

    Another thread shows it, so that what takes long by itself (a model that is built, a library that is loaded) is seen
    too; it has ended when this returns.
    """
    under = Under(what, total)
    if os.environ.get("SEQCOST_PROGRESS") == "0":
        yield under
        return
    terminal = sys.stderr is not None and sys.stderr.isatty()
    under.in_lines = not terminal
    showing = threading.Thread(target=_show_a_bar if terminal else _print_lines, args=(under,), daemon=True)
    showing.start()
    try:
        with listening(under.say):
            yield under
    finally:
        under.over.set()
        showing.join()


def _show_a_bar(under: Under) -> None:
    if under.over.wait(_PATIENCE):
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    known = (SpinnerColumn(),) if under.total is None else (BarColumn(), MofNCompleteColumn())
    columns = (TextColumn("{task.description}", markup=False), *known, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=under.total)
        while True:
            bar.update(task, description=under.what, completed=max(0, under.begun - 1))
            if under.over.wait(0.1):
                return


def _print_lines(under: Under) -> None:
    seconds = _PATIENCE
    while not under.over.wait(seconds):
        if under.said != under.what and time.monotonic() - under.said_at_s >= seconds:
            under.said, under.said_at_s, seconds = under.what, time.monotonic(), _SELDOM
            _print(f"{under.said} …")


def _print(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads, or the stream is closed
        print(f"seqcost: {line}", file=sys.stderr, flush=True)  # noqa: T201
