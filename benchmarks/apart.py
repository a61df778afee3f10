"""One piece of work in a process of its own, divided from one that has loaded the libraries already."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Work = Callable[..., dict[str, Any]]


def apart(work: Work, *args: Any, limit_s: float, limit_bytes: int | None = None) -> dict[str, Any] | str:
    """What the work returned, else why it returned nothing; memory is limited beyond what the libraries take."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_serve, args=(theirs, limit_bytes, work, *args), daemon=True)
    child.start()
    theirs.close()
    found: dict[str, Any] | str
    try:
        found = ours.recv() if ours.poll(limit_s) else f"longer than {limit_s:.0f} s"
    except EOFError:
        found = "the process ended, for want of memory or by a fault"
    child.kill()
    child.join()
    return found


def _serve(pipe: Connection, limit_bytes: int | None, work: Work, *args: Any) -> None:
    if limit_bytes is not None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + limit_bytes,) * 2)
    pipe.send(work(*args))
