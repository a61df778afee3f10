"""What the process that reads a file may not do: hold much memory, take long, reach a network, write, start anything.

Limits of the system hold what native code does (RLIMIT_*, POSIX only); an audit hook holds what Python does and cannot
be taken off again. Reading files and importing what is installed stay allowed.
"""

import os
import sys
from typing import Any

_FORBIDDEN = ("socket.", "subprocess.", "os.", "shutil.", "ctypes.", "pickle.", "pty.", "ftplib.", "smtplib.",
              "urllib.", "webbrowser.", "sqlite3.", "tempfile.", "winreg.", "signal.pthread_kill")  # fmt: skip
_ALLOWED = ("os.listdir", "os.scandir", "os.putenv", "os.unsetenv", "os.add_dll_directory", "os.fwalk", "os.walk")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def confine(*, memory_bytes: int, cpu_s: int) -> None:
    """Confine this process for the rest of its life: so many bytes beyond what it maps now, so many seconds."""
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        for what, most in (
            (resource.RLIMIT_AS, _mapped_bytes(resource.getpagesize()) + memory_bytes),
            (resource.RLIMIT_CPU, cpu_s),
            (resource.RLIMIT_FSIZE, 0),  # not a byte into any file
            (resource.RLIMIT_CORE, 0),
        ):
            _, hard = resource.getrlimit(what)
            most = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(what, (most, most))
    sys.addaudithook(_refuse)


def _mapped_bytes(page_bytes: int) -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no more imports from here on
            return int(file.read().split()[0]) * page_bytes
    except OSError:  # not Linux: what is mapped is not known, and far below what a 64-bit system has
        return 2**36


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open":
        file, mode, flags = arguments
        if isinstance(file, int):  # a descriptor that is open already: where the answer goes
            return
        writes = isinstance(mode, str) and any(letter in mode for letter in "wax+")
        if writes or (isinstance(flags, int) and flags & _WRITING):
            raise PermissionError("the process that reads a file writes none")
    elif event.startswith(_FORBIDDEN) and event not in _ALLOWED:
        raise PermissionError(f"the process that reads a file does nothing else ({event})")
