"""One measurement at a time on a machine, whoever asks: two at once would measure each other.

A lock of the system on one file in the folder for temporary files; it is gone when its holder is, however that ended.
Not covered: other machines with the same folder, containers with folders of their own.
"""

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seqcost.errors import RunFailed

LOCK = "seqcost-measuring.lock"


@contextmanager
def turn(on_wait: Callable[[], object] | None = None) -> Iterator[None]:
    """Wait until nobody else measures here; `on_wait` is called once, where somebody does.

    Raises RunFailed where the file of the lock can be neither made nor opened.
    """
    path = Path(tempfile.gettempdir()) / LOCK
    try:
        descriptor = _opened(path)
    except OSError as error:
        raise RunFailed(f"cannot open {path}, by which measurements take turns: {error.strerror}.") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)  # and the lock with it


def _opened(path: Path) -> int:
    """Of whoever was first on this machine, so it is opened to read: that is enough for a lock."""
    flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except PermissionError:  # systems refuse to create in somebody else's file, even where it is there
        descriptor = os.open(path, flags & ~os.O_CREAT)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileExistsError(0, "it is no plain file")
    return descriptor
