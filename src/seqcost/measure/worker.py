"""The process that runs jobs and measures them, one after the other; started by the runner, never imported.

    python -m seqcost.measure.worker --result-fd N < a line of JSON a job

A line holds the job, the time limit, the path of the text, the import path of the caller and the loader. The next one
comes when the answer to the last was read. Standard input stays open: when it ends, whoever started us is gone and we
end too. Two lines a job go to descriptor N: the times, then the peak of allocated memory, whose recording is slow and
may be cut off without losing the times. An error is a line like them, never a traceback, and the end.

The garbage collector is off while runs are timed and works between them, so that no repetition pays for another. Not
covered: pinning to cores, clock frequency, dropping caches between repetitions.
"""

import argparse
import gc
import importlib
import json
import os
import queue
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
from seqcost.measure.reference import look
from seqcost.measure.repeat import repeat
from seqcost.measure.resident import forget_peak, give_back, peak_resident_bytes

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
    """Job after job: load, time, record; whatever happens, say so on the pipe."""
    parser = argparse.ArgumentParser(description="Runs jobs for seqcost.measure; not meant to be started by hand.")
    parser.add_argument("--result-fd", type=int, required=True)
    report = Report(parser.parse_args().result_fd)
    orders: queue.Queue[bytes] = queue.Queue()
    with own_stdin() as stdin:
        threading.Thread(target=take_orders, args=(stdin, orders), daemon=True).start()
        is_first = True
        while do(json.loads(orders.get()), report, is_first=is_first):
            is_first = False
        sys.stdout.flush()
        os._exit(0)  # threads that the module left behind must not keep us


def do(order: dict[str, Any], report: Report, *, is_first: bool) -> bool:
    """One job; False where it failed, after which this process is worth nothing."""
    report.key = order["key"]
    stage = "loading"
    try:
        program = load(order)
        gc.collect()
        gc.freeze()  # what is loaded stays: a collection between two runs then costs microseconds
        gc.disable()
        give_back()
        device = torch.device(order["job"]["device"])
        before = look()
        stage = "running"
        facts = times(program.run, device, BUDGET_SHARE * order["time_limit_s"], is_first=is_first)
        after = look()
        report.send(**facts, reference={name: [before[name], after[name]] for name in before})
        stage = "recording its allocations"
        gc.collect()
        report.send(peak_allocated_bytes=peak_allocated_bytes(program.run_once, program.lasting_tensors(), device))
    except BaseException as error:  # noqa: BLE001 - whatever the module raises, SystemExit included, is a result
        report.send(**failure(error, stage))
        return False
    del program
    gc.unfreeze()
    gc.enable()
    gc.collect()
    return True


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


def times(run: Callable[[], object], device: torch.device, budget_s: float, *, is_first: bool) -> dict[str, object]:
    """Seconds of the repetitions, and resident memory before and at most; None where that is of an earlier job."""

    def once() -> float:
        gc.collect()
        synchronize(device)
        start_s = time.perf_counter()
        run()
        synchronize(device)
        return time.perf_counter() - start_s

    is_own = forget_peak() or is_first
    baseline_bytes = psutil.Process().memory_info().rss
    wall_s, num_warmup = repeat(once, budget_s)
    return {
        "wall_s": wall_s,
        "num_warmup": num_warmup,
        "baseline_resident_bytes": baseline_bytes,
        "peak_resident_bytes": peak_resident_bytes() if is_own else None,
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


def take_orders(stdin: BinaryIO, orders: "queue.Queue[bytes]") -> None:
    """Pass on each line; end this process and those it started as soon as the runner is gone."""
    for line in stdin:
        orders.put(line)
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
