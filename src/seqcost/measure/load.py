"""How busy others kept the machine's cores while a run went on.

What all processes used less what we and those that we started used, from the system's own clocks, which tick 100 times
a second. Not covered: frequency, memory bandwidth that others take, and other guests of the same host.
"""

import os
import time

import psutil

_IDLE = ("idle", "iowait", "guest", "guest_nice")  # a guest's time is in user's already


class Load:
    """From now on: `others()` says how many cores' worth of work other processes did since."""

    def __init__(self) -> None:
        self._start_s, self._busy_s, self._own_s = time.monotonic(), _busy_s(), _own_s()

    def others(self) -> float:
        """Cores, 0 to as many as there are; those that we started must have ended and been waited for."""
        passed_s = time.monotonic() - self._start_s
        others_s = (_busy_s() - self._busy_s) - (_own_s() - self._own_s)
        return round(min(max(others_s / passed_s, 0.0), float(os.cpu_count() or 1)), 2) if passed_s > 0 else 0.0


def _busy_s() -> float:
    times = psutil.cpu_times()._asdict()
    return float(sum(spent for kind, spent in times.items() if kind not in _IDLE))


def _own_s() -> float:
    return sum(os.times()[:4])  # user and system, of ours and of those that were waited for
