"""How busy others keep the machine's cores: while a run goes on, and before it.

What all processes used less what we and those that we started used, from the system's own clocks, which tick 100 times
a second. Not covered: frequency, memory bandwidth that others take, and other guests of the same host; the reference
kernels beside each run show those.
"""

import os
import time
from collections.abc import Callable

import psutil

LOOK_S = 0.5  # how long others are looked at before a process is started
_IDLE = ("idle", "iowait", "guest", "guest_nice")  # a guest's time is in user's already


class Load:
    """From now on: `others()` says how many cores' worth of work other processes did since.

    `started` gives the processor seconds of what we started and have not waited for.
    """

    def __init__(self, started: Callable[[], float]) -> None:
        self.started = started
        self._start_s, self._busy_s, self._own_s = time.monotonic(), _busy_s(), _own_s() + started()

    def others(self) -> float:
        """Cores, 0 to as many as there are."""
        passed_s = time.monotonic() - self._start_s
        others_s = (_busy_s() - self._busy_s) - (_own_s() + self.started() - self._own_s)
        return round(min(max(others_s / passed_s, 0.0), float(os.cpu_count() or 1)), 2) if passed_s > 0 else 0.0


def others_now() -> float:
    """Cores that others keep busy, over the next LOOK_S."""
    load = Load(lambda: 0.0)
    time.sleep(LOOK_S)
    return load.others()


def _busy_s() -> float:
    times = psutil.cpu_times()._asdict()
    return float(sum(spent for kind, spent in times.items() if kind not in _IDLE))


def _own_s() -> float:
    return sum(os.times()[:4])  # user and system, of ours and of those that were waited for
