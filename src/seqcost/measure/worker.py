"""The process that runs one job and measures it; started by the runner, never imported.

    python -m seqcost.measure.worker --result-fd N < one line of JSON

The line holds the job, the time limit, the path of the text, the import path of the caller and the loader. Standard
input then stays open: when it ends, whoever started us is gone and we end too. Two lines go to descriptor N: the
times, then the peak of allocated memory, whose recording is slow and may be cut off without losing the times. An
error is a line like them, never a traceback.

The garbage collector is off while runs are timed and works between them, so that no repetition pays for another. Not
covered: pinning to cores, clock frequency, dropping caches between repetitions.
"""

import argparse
import gc
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import psutil
import torch

from seqcost.errors import SeqcostError
from seqcost.measure.peak import peak_allocated_bytes
from seqcost.measure.repeat import repeat
from seqcost.measure.resident import forget_peak, peak_resident_bytes

BUDGET_SHARE = 0.5  # of the time limit; the rest is for loading, and for the recording of allocations
NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


class Report:
    """One line of JSON a fact, to the runner's own pipe: the module may print what it likes."""

    def __init__(self, descriptor: int):
        os.set_inheritable(descriptor, False)  # a process that the module starts must not hold it open
        self._descriptor = descriptor
        self.key = ""  # begins each line, so that what the module writes there is no fact

    def send(self, **facts: object) -> None:
        """Write one line, whole."""
        line = f"\n{self.key} {json.dumps(facts)}\n".encode()
        while line:
            line = line[os.write(self._descriptor, line) :]


def main() -> None:
    """Load, time, record; whatever happens, say so on the pipe."""
    parser = argparse.ArgumentParser(description="Runs one job for seqcost.measure; not meant to be started by hand.")
    parser.add_argument("--result-fd", type=int, required=True)
    report = Report(parser.parse_args().result_fd)
    with own_stdin() as stdin:
        order = json.loads(stdin.readline())
        report.key = order["key"]
        threading.Thread(target=end_with, args=(stdin,), daemon=True).start()
        stage = "loading"
        try:
            program = load(order)
            gc.collect()
            gc.freeze()  # what is loaded stays: a collection between two runs then costs microseconds
            gc.disable()
            device = torch.device(order["job"]["device"])
            stage = "running"
            report.send(**times(program.run, device, BUDGET_SHARE * order["time_limit_s"]))
            stage = "recording its allocations"
            gc.collect()
            report.send(peak_allocated_bytes=peak_allocated_bytes(program.run_once, program.lasting_tensors(), device))
        except BaseException as error:  # noqa: BLE001 - whatever the module raises, SystemExit included, is a result
            report.send(**failure(error, stage))
        sys.stdout.flush()
        os._exit(0)  # threads that the module left behind must not keep us


def load(order: dict[str, Any]) -> Any:
    """The program of the job, from the loader that the order names."""
    sys.path.extend(entry for entry in order["import_path"] if entry not in sys.path)
    job = order["job"]
    torch.set_num_threads(job["threads"])
    take_the_counted_form(job["device"])
    module, _, name = order["loader"].partition(":")
    loader = getattr(importlib.import_module(module), name)
    text = Path(order["text_path"]).read_bytes() if order["text_path"] else None
    sizes = {name: job[name] for name in ("phase", "B", "T", "dtype", "device")}
    return loader(job["target"], **sizes, text=text)


def take_the_counted_form(device: str) -> None:
    """On a GPU: layers without kernels of other packages, which no formula counts and no record names."""
    if torch.device(device).type == "cuda":
        from seqcost.layers import use_kernels  # not before there is a need: it is resident memory

        use_kernels("torch")


def times(run: Callable[[], object], device: torch.device, budget_s: float) -> dict[str, object]:
    """Seconds of the repetitions, and resident memory before and at most."""

    def once() -> float:
        gc.collect()
        synchronize(device)
        start_s = time.perf_counter()
        run()
        synchronize(device)
        return time.perf_counter() - start_s

    forget_peak()
    baseline_bytes = psutil.Process().memory_info().rss
    wall_s, num_warmup = repeat(once, budget_s)
    return {
        "wall_s": wall_s,
        "num_warmup": num_warmup,
        "baseline_resident_bytes": baseline_bytes,
        "peak_resident_bytes": peak_resident_bytes(),
    }


def synchronize(device: torch.device) -> None:
    """Wait for what was queued; on the CPU nothing is."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def failure(error: BaseException, stage: str) -> dict[str, str]:
    """Status and one sentence: the first line of the message, without a traceback."""
    said = (str(error).strip().splitlines() or [""])[0]
    said = said[max(0, said.find("DefaultCPUAllocator")) :][:300]  # without the C++ check that precedes it
    no_memory = isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(words in said for words in NO_MEMORY)
    )
    named = said if isinstance(error, SeqcostError) else f"{type(error).__name__}{': ' * bool(said)}{said}"
    return {"status": "memory" if no_memory else "failed", "reason": f"while {stage}: {named}"}


def own_stdin() -> BinaryIO:
    """The runner's pipe, out of the module's reach: it finds an empty standard input instead."""
    pipe = os.fdopen(os.dup(0), "rb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def end_with(stdin: BinaryIO) -> None:
    """End this process and those it started as soon as the runner is gone."""
    while stdin.read(1):
        pass
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
