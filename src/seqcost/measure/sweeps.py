"""Many jobs, one after the other, each stored as it ends; what was measured here before is not measured again.

A sweep that was killed goes on where it stopped: run it again with the same store. Not covered: the order of the
jobs, which is the caller's, and several at once, which would disturb each other.
"""

import os
from collections.abc import Callable, Iterable, Iterator

from seqcost.measure.limits import Limits
from seqcost.measure.runner import LOADER, measure
from seqcost.measure.turn import turn
from seqcost.records import Job, Run, Store, this_environment

SAME_MEMORY = 0.9  # the default limit follows what is available and so is never twice the same


def sweep(
    jobs: Iterable[Job],
    store: Store,
    limits: Limits | None = None,
    *,
    on_start: Callable[[Job], object] | None = None,
    on_done: Callable[[Run], object] | None = None,
    on_wait: Callable[[], object] | None = None,
    again: bool = False,
    text_path: str | os.PathLike[str] | None = None,
    loader: str = LOADER,
) -> Iterator[Run]:
    """Record of each job, in order: from the store where there is one of this very environment, else measured now.

    A run that hit a limit counts as measured unless the present limit is wider; one that failed is tried again.
    `on_start` and `on_done` are called for jobs that are really run, `on_wait` where somebody else measures on this
    machine and must end first; `again` measures all of them.
    """
    limits = limits or Limits()
    for job in jobs:
        known = None if again else _known(job, store, limits)
        if known is None:
            with turn(on_wait):
                known = None if again else _known(job, store, limits)  # whoever was before us may have run it
                if known is None:
                    if on_start:
                        on_start(job)
                    run = measure(job, limits, text_path, loader=loader)
                    store.add(run)
                    if on_done:
                        on_done(run)
        yield known or run


def _known(job: Job, store: Store, limits: Limits) -> Run | None:
    found = store.find(job, this_environment())
    return found if found is not None and _would_end_alike(found, limits) else None


def _would_end_alike(known: Run, limits: Limits) -> bool:
    if known.status == "timeout":
        return known.time_limit_s >= limits.time_s
    if known.status == "memory":
        return known.memory_limit_bytes >= SAME_MEMORY * limits.memory_bytes
    return known.status == "ok"
