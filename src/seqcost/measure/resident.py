"""Highest resident memory of this very process, and a way to forget what it held before.

On Linux from /proc/self: ru_maxrss there starts at what the *parent* held when it started us (a notebook of 4 GB
would lend every run 4 GB), and cannot be reset. Elsewhere ru_maxrss is all there is. Not covered: child processes,
swapped pages.
"""

import ctypes
import resource
import sys
from contextlib import suppress
from pathlib import Path


def forget_peak() -> bool:
    """From here on the peak starts at what is held now; False where the system cannot do that: the old peak stays."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # proc_pid_clear_refs(5): resets the high-water mark
        return True
    return False


def give_back() -> None:
    """Hand freed memory back to the system, so that a job does not hold what the one before it had; glibc alone can."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def peak_resident_bytes() -> int:
    """High-water mark of resident memory."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes
