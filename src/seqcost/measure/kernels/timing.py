"""Times kernels in a process of their own. Loads no torch.

Memory that was given back is kept by that process (`KEPT`), so that a kernel's time is its own; what fresh memory
costs is measured apart. Not covered: Windows.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from seqcost.errors import RunFailed
from seqcost.measure.kernels.case import Case

# of glibc: no block is a mapping of its own, and freed ones stay with the process
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**62), "MALLOC_TOP_PAD_": str(2**26)}
# each thread on a core of its own: two on one wait for each other for whole time slices
BOUND = {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"}
ROUNDS = 2


def time_kernels(
    cases: Sequence[Case], threads: int, *, rounds: int = ROUNDS, on_case: Callable[[int], object] | None = None
) -> Iterator[Mapping[str, Any]]:
    """What the worker tells, line by line; `on_case` is called with the number of timings so far.

    Raises RunFailed where the process cannot be started or ends early.
    """
    order = {"cases": [asdict(case) for case in cases], "threads": threads, "rounds": rounds}
    number = str(threads)
    command = [sys.executable, "-P", "-m", "seqcost.measure.kernels.worker"]
    environ = {**os.environ, **KEPT, **BOUND, "OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number}
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
        )
    except OSError as error:
        raise RunFailed(f"cannot start {sys.executable}: {error.strerror}.") from error
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.close()
            done, count = False, 0
            for line in process.stdout:
                facts = json.loads(line)
                done = done or facts.pop("done", False)
                if "index" in facts:
                    count += 1
                    if on_case is not None:
                        on_case(count)
                if facts:
                    yield facts
        finally:
            if not done:
                process.kill()
        said = process.stderr.read().strip().splitlines()
    if not done:
        raise RunFailed(f"the kernels could not be timed: {said[-1] if said else 'the process ended early'}.")
