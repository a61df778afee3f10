"""A process and all that it started: what they hold and use together, and how to end them.

A look at the known processes costs some 20 microseconds each; a search for new ones reads every process of the
machine and is made rarely, so that the watcher does not disturb what it watches. Pages that processes share count in
each, so the sum is an upper bound. Not covered: processes that cut themselves off (a daemon adopted by init).
"""

import os
import signal
from contextlib import suppress

import psutil

SEARCH_EVERY = 10  # looks


class Tree:
    """The process with this id, which must lead its own group, and its descendants."""

    def __init__(self, pid: int):
        self._pid = pid
        self._members = [psutil.Process(pid)]
        self._looks = 0
        self.highest_bytes = 0

    def resident_bytes(self) -> int:
        """Resident memory of all members now."""
        if self._looks % SEARCH_EVERY == 0:
            self._search()
        self._looks += 1
        held_bytes = 0
        for process in self._members:
            with suppress(psutil.Error):  # ended meanwhile
                held_bytes += process.memory_info().rss
        self.highest_bytes = max(self.highest_bytes, held_bytes)
        return held_bytes

    def cpu_s(self) -> float:
        """Processor time that all members, and those of their children that have ended, used so far."""
        self._search()
        used_s = 0.0
        for process in self._members:
            with suppress(psutil.Error):  # ended; its parent has waited for it, and has its time
                used_s += sum(process.cpu_times()[:4])  # user and system, of its own and of those it waited for
        return used_s

    def kill(self) -> None:
        """End every member at once, those with a group of their own included."""
        self._search()
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses when only zombies are left
            os.killpg(self._pid, signal.SIGKILL)
        for process in self._members:
            with suppress(psutil.Error):
                process.kill()

    def _search(self) -> None:
        with suppress(psutil.Error):
            found = self._members[0].children(recursive=True)
            self._members += [process for process in found if process not in self._members]
