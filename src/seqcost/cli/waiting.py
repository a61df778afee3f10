"""What a question is at, on standard error, once it has taken a second: a bar in a terminal, elsewhere lines.

SEQCOST_PROGRESS=0 in the environment turns it off, for whoever reads standard error by program.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from seqcost.foreign import harmless
from seqcost.progress import listening

_PATIENCE = 1.0  # seconds without a word
_SELDOM = 10.0  # seconds between two lines, where they stay: in a file or a log


class _Under:
    """What is under way, how many parts have been begun, and whether it is over."""

    def __init__(self, what: str) -> None:
        self.what, self.begun, self.over = what, 0, threading.Event()

    def begin(self, what: object) -> None:
        """One of the parts that are counted."""
        self.begun += 1
        self.say(str(what))

    def say(self, what: str) -> None:
        self.what = harmless(what)


@contextlib.contextmanager
def waiting(what: str, total: int | None = None) -> Iterator[Callable[[object], None]]:
    """Show what is told inside; gives the function that a question of `total` parts tells of each.

    Another thread shows it, so that what takes long by itself (a model that is built, a library that is loaded) is seen
    too; it has ended when this returns.
    """
    under = _Under(harmless(what))
    if os.environ.get("SEQCOST_PROGRESS") == "0":
        yield under.begin
        return
    bar = _bar(total) if sys.stderr is not None and sys.stderr.isatty() else None
    showing = threading.Thread(target=_lines if bar is None else _moved, args=(under, bar), daemon=True)
    showing.start()
    try:
        with listening(under.say):
            yield under.begin
    finally:
        under.over.set()
        showing.join()


def _bar(total: int | None) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    known = (SpinnerColumn(),) if total is None else (BarColumn(), MofNCompleteColumn())
    columns = (TextColumn("{task.description}", markup=False), *known, TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task("", total=total)
    return bar


def _moved(under: _Under, bar: Any) -> None:
    (task,) = bar.task_ids
    if under.over.wait(_PATIENCE):
        return
    with bar:
        while True:
            bar.update(task, description=under.what, completed=max(0, under.begun - 1))
            if under.over.wait(0.1):
                return


def _lines(under: _Under, _: None) -> None:
    said, seconds = None, _PATIENCE
    while not under.over.wait(seconds):
        if said != under.what:
            said, seconds = under.what, _SELDOM
            with contextlib.suppress(OSError, ValueError):  # nobody reads, or the stream is closed
                print(f"seqcost: {said} …", file=sys.stderr, flush=True)  # noqa: T201
