"""One round of the runs of accuracy.py: every job once, each target and width in a process of its own. Loads torch.

    python benchmarks/accuracy_rounds.py FOLDER ROUND THREADS [NAME...]

Started by accuracy.py, which says what is kept. A process is divided from this one, which has loaded the libraries and
run no operator. In it the module is built once and its jobs follow each other; the reference kernels are timed at its
start, at its end and whenever a second has passed, so that each job stands between two looks. The first round records
allocations, too. One line of JSON a job is appended to runs.jsonl when its process has ended.
"""

import gc
import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from accuracy_jobs import OTHERS, RUNS, Line, groups, lines_in

from seqcost.measure.load import Load
from seqcost.measure.peak import peak_allocated_bytes
from seqcost.measure.reference import look
from seqcost.measure.resident import give_back
from seqcost.programs import Target
from seqcost.programs.changes import changed
from seqcost.programs.program import prepare
from seqcost.records import Job

BUDGET_S = 0.03  # of repetitions of a job
LEAST, MOST = 3, 50  # repetitions
SLOW_S, SLOWER_S = 0.05, 0.15  # a first run from which on two, and one, repetitions do
LONGEST_S = 4.0  # a first run beyond which a job, and longer ones of its kind, are left out
LOOK_EACH_S = 1.0
GROUP_S = 180  # the limit of a process
RECORDED = 1  # the round that records allocations
CPU = torch.device("cpu")
LIBRARIES = (
    *(f"transformers.models.{kind}.modeling_{kind}" for kind in ("bert", "gpt2", "llama", "mamba")),
    "x_transformers", "mambapy.mamba", "minGRU_pytorch", "performer_pytorch", "local_attention",
)  # fmt: skip


def main() -> None:
    """Run what the folder lacks of this round."""
    folder, round_number, threads = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    known = list(lines_in(folder / RUNS))
    done = {line["key"] for line in known if line["round"] == round_number}
    left_out = {line["key"] for line in known if line["status"] == "long"}
    every = list(groups(threads, sys.argv[4:]))
    random.Random(round_number).shuffle(every)  # no job has always the same neighbours
    if any(group.name.startswith(OTHERS) for group in every):
        preload()
    gc.collect()
    gc.freeze()  # what is loaded stays: a collection between two runs then costs microseconds
    gc.disable()
    for number, group in enumerate(every, 1):
        jobs = [job for job in group.jobs if job.key not in done | left_out]
        if not jobs:
            continue
        start_s, load = time.monotonic(), Load(lambda: 0.0)
        found = list(apart(jobs, record=round_number == RECORDED))
        others, at = load.others(), datetime.now(UTC).isoformat(timespec="seconds")
        with (folder / RUNS).open("a") as file:
            for line in found:
                head = {"round": round_number, "name": group.name, "D": group.D, "family": group.family}
                file.write(json.dumps(head | line | {"other_cores": others, "at": at}) + "\n")
        good = sum(line["status"] == "ok" for line in found)
        print(
            f"round {round_number}, {number}/{len(every)}: {group}, {good} of {len(jobs)} jobs, "
            f"{time.monotonic() - start_s:.1f} s",
            file=sys.stderr, flush=True,
        )  # fmt: skip


def preload() -> None:
    """What other modules are made of, so that not every process loads it anew; none of it is made here."""
    for package in LIBRARIES:
        import_module(package)


def apart(jobs: list[Job], *, record: bool) -> Iterator[Line]:
    """Jobs of one group in a process of their own; those that it did not come to are failed."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=serve, args=(theirs, jobs, record), daemon=True)
    child.start()
    theirs.close()
    waited_s, told, why = 0, set[str](), "the process ended early"
    try:
        while waited_s < GROUP_S:  # seconds that were waited, so that a pause of all processes is none of them
            if not ours.poll(1.0):
                waited_s += 1
                continue
            line = ours.recv()
            told.add(line["key"])
            yield line
        why = f"the process took longer than {GROUP_S} s"
    except EOFError:
        pass
    child.kill()
    child.join()
    for job in jobs:
        if job.key not in told:
            yield about(job) | {"status": "failed", "reason": why}


def about(job: Job) -> Line:
    """What names a job."""
    return {"key": job.key, **job.to_dict()}


def serve(pipe: Connection, jobs: list[Job], record: bool) -> None:
    """The divided process: one line a job, with the looks before and after it."""
    torch.set_num_threads(jobs[0].threads)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the profiler of PyTorch tells of every start
    waiting: list[Line] = []
    before, at_s = look(), time.monotonic()

    def send() -> None:
        nonlocal before, at_s
        after = look()
        for line in waiting:
            pipe.send(line | {"reference": {name: [before[name], after[name]] for name in before}})
        waiting.clear()
        before, at_s = after, time.monotonic()

    target = Target.of_spec(dict(jobs[0].target))
    try:
        built = changed(target.build(B=1, T=jobs[0].T).converted(jobs[0].dtype), target.changes)
    except Exception as error:  # noqa: BLE001 - whatever a module raises is a result
        for job in jobs:
            pipe.send(about(job) | failure(error))
        return
    gc.freeze()
    too_long: set[str] = set()
    for job in jobs:
        line = about(job)
        try:
            if job.phase in too_long:
                line |= {"status": "long", "reason": "a shorter one took too long"}
            else:
                inputs = built.inputs_at(job.B, job.T)
                program = prepare(built.module, inputs, phase=job.phase, own_mode=target.own_mode, loss=built.loss)
                line |= measured(program.run)
                if record and line["status"] == "ok":
                    gc.collect()
                    peak = peak_allocated_bytes(program.run_once, program.lasting_tensors(), CPU)
                    line["peak_allocated_bytes"] = peak
                del inputs, program
        except Exception as error:  # noqa: BLE001 - whatever a module raises is a result
            line |= failure(error)
        if line["status"] == "long":
            too_long.add(job.phase)
        waiting.append(line)
        gc.collect()
        if time.monotonic() - at_s > LOOK_EACH_S:
            send()
    send()
    pipe.close()


def failure(error: Exception) -> Line:
    """Why there are no times."""
    return {"status": "failed", "reason": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}


def measured(run: Callable[[], object]) -> Line:
    """Seconds of the repetitions after a warm-up, as the worker of a measurement times them, and the processor's."""

    def once() -> tuple[float, float]:
        gc.collect()
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        run()
        return time.perf_counter() - start_s, time.process_time() - start_cpu_s

    gc.collect()
    give_back()
    first_s = min(once())  # the processor's where the process had to wait: a pause is no long run
    if first_s > LONGEST_S:
        return {"status": "long", "reason": f"a run took {first_s:.1f} s"}
    least = 1 if first_s > SLOWER_S else 2 if first_s > SLOW_S else LEAST
    if first_s <= SLOW_S:
        once()
    found: list[tuple[float, float]] = []
    while len(found) < least or (sum(wall_s for wall_s, _ in found) < BUDGET_S and len(found) < MOST):
        found.append(once())
    wall_s, cpu_s = ([float(f"{s:.5g}") for s in clock] for clock in zip(*found, strict=True))
    return {"status": "ok", "wall_s": wall_s, "cpu_s": cpu_s}


if __name__ == "__main__":
    main()
