"""How fast the program itself is: whole processes as a user starts them, and a sweep of a formula.

    python benchmarks/speed.py

Wall time is the median of several runs, from start to exit; processor time is what the process and its threads used,
which a busy machine lengthens less. Memory is the peak of resident memory. The peer of a trace is PyTorch's own counter
on meta tensors in the same run: it counts the FLOPs of one length, the trace seven quantities at several lengths.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from page import publish

import seqcost
from seqcost.algebra import Kind
from seqcost.algebra.rendering import scaled, seconds
from seqcost.report.table import Table

SEQCOST = str(Path(sys.executable).with_name("seqcost"))
BIG = ["llama-3.1-405b", "--length", "1M", "--json"]
COUNTER = """
import json, torch
from torch.utils.flop_counter import FlopCounterMode
from seqcost.formulas.catalogue import configure
from seqcost.layers import build
with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
    model = build(configure("gpt2"))
    model(torch.zeros(1, 1024, dtype=torch.int64))
print(json.dumps({"flops": counter.get_total_flops()}))
"""
AFTER_IMPORT = """
import json, time
import torch
import torch._dynamo  # PyTorch's fake tensors import it at their first use
import seqcost, seqcost.questions.targets.traced
start_s = time.perf_counter()
answer = seqcost.count("gpt2", trace=True)
print(json.dumps({"flops": answer.flops, "seconds": time.perf_counter() - start_s}))
"""


@dataclass(frozen=True)
class Case:
    """A command, how often it is run, and what it must keep to."""

    title: str
    command: list[str]
    repetitions: int
    gate: Callable[[str], bool]  # of what it printed, before any time counts
    most_s: float | None = None
    most_bytes: int | None = None


def flops_of(printed: str) -> int:
    """The total that a command printed as JSON."""
    return int(json.loads(printed)["flops"])


def big_flops(printed: str) -> bool:
    """The same number from the formula in this process."""
    return flops_of(printed) == seqcost.count("llama-3.1-405b", length="1M").flops


def gpt2_flops(printed: str) -> bool:
    """The same number from the formula in this process."""
    return flops_of(printed) == seqcost.count("gpt2", length=1024).flops


CASES = (
    Case("seqcost --help", [SEQCOST, "--help"], 9, lambda printed: "compare" in printed, 0.5),
    Case("seqcost count llama-3.1-405b, 1M tokens", [SEQCOST, "count", *BIG], 9, big_flops, 0.5),
    Case("the same with --trace", [SEQCOST, "count", "--trace", *BIG], 5, big_flops, 10.0, 2 * 2**30),
    Case("seqcost count gpt2 --trace", [SEQCOST, "count", "gpt2", "--trace", "--json"], 5, gpt2_flops),
    Case("peer: FlopCounterMode, gpt2 on meta", [sys.executable, "-c", COUNTER], 5, gpt2_flops),
)


def once(command: list[str]) -> tuple[float, float, int, str]:
    """Wall seconds, processor seconds, peak resident bytes and output of one process."""
    start_s = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    printed = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - start_s
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command} ended with {process.returncode}"
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return wall_s, used.ru_utime + used.ru_stime, used.ru_maxrss * unit_bytes, printed


def process_row(case: Case) -> tuple[tuple[str, ...], float]:
    """A row of the table, and the median wall time."""
    runs = [once(case.command) for _ in range(case.repetitions)]
    assert all(case.gate(printed) for *_, printed in runs), f"{case.title}: the answer is wrong"
    wall_s, used_s = (statistics.median(run[i] for run in runs) for i in (0, 1))
    memory_bytes = max(run[2] for run in runs)
    targets = [] if case.most_s is None else [(f"{case.most_s:g} s", wall_s < case.most_s)]
    targets += [] if case.most_bytes is None else [(scaled(case.most_bytes, "B"), memory_bytes < case.most_bytes)]
    verdict = ", ".join(f"{target} {'met' if met else 'missed'}" for target, met in targets)
    fastest_s = min(run[0] for run in runs)
    cells = (case.title, seconds(wall_s), seconds(fastest_s), seconds(used_s), scaled(memory_bytes, "B"), verdict)
    print(*cells, flush=True)
    return cells, wall_s


def import_row() -> tuple[str, ...]:
    """The first trace of a process, without what it takes to import PyTorch."""
    runs = [once([sys.executable, "-c", AFTER_IMPORT]) for _ in range(5)]
    assert all(gpt2_flops(printed) for *_, printed in runs), "the answer is wrong"
    times_s = [json.loads(printed)["seconds"] for *_, printed in runs]
    median_s = statistics.median(times_s)
    target = f"1 s {'met' if median_s < 1 else 'missed'}"
    return "gpt2 traced, after import", seconds(median_s), seconds(min(times_s)), "", "", target


def sweep_row() -> tuple[str, ...]:
    """FLOPs of a Transformer block at a million (T, D) points, against exact whole numbers at random ones."""
    import numpy as np

    T, D = np.meshgrid(seqcost.sweep(range(1, 1001)), seqcost.sweep(range(64, 64 * 1001, 64)))

    def flops(T: object, D: object) -> object:
        block = seqcost.configure("transformer-block", D=D, H=8)
        return block.flops(seqcost.Workload(T=T)).total(Kind.CONTRACTION)

    times_s = []
    for _ in range(5):
        start_s = time.perf_counter()
        found = flops(T, D)
        times_s.append(time.perf_counter() - start_s)
    for at in random.Random(0).sample(range(T.size), 1000):
        assert int(found.flat[at]) == flops(int(T.flat[at]), int(D.flat[at])), "the sweep is wrong"
    median_s = statistics.median(times_s)
    target = f"2 s {'met' if median_s < 2 else 'missed'}"
    return "sweep of 10⁶ points, transformer-block FLOPs", seconds(median_s), seconds(min(times_s)), "", "", target


def main() -> None:
    """Time every case."""
    rows = {case.title: process_row(case) for case in CASES}
    traced, peer = (wall_s for case, (_, wall_s) in zip(CASES, rows.values(), strict=True) if "gpt2" in case.title)
    headings = ("<what", "wall", "fastest", "processor", "resident", "<target")
    publish(
        "speed",
        "Speed of the program",
        " ".join((__doc__ or "").split("\n\n")[2].split()),
        [Table.of("", headings, [*(cells for cells, _ in rows.values()), import_row(), sweep_row()])],
        f"Every answer was checked before its time counted. Trace over peer, whole process: {traced / peer:.2f}.",
    )


if __name__ == "__main__":
    main()
