"""How fast the program itself is: whole processes as a user starts them, and a sweep of a formula.

    python benchmarks/speed.py

Wall time is the median of several runs, from start to exit; processor time is what the process and its threads used,
which a busy machine lengthens less. Memory is the peak of resident memory. The peer of a trace is PyTorch's own counter
on meta tensors in the same run: it counts the FLOPs of one length, the trace eight quantities at several lengths, and
has to find the same FLOPs, but for the scores that a fused attention computes anew on its way back.
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
from typing import Any

from page import publish

import seqcost
from seqcost.algebra import Kind
from seqcost.algebra.rendering import scaled, seconds
from seqcost.report.table import Table

SEQCOST = str(Path(sys.executable).with_name("seqcost"))
BIG = ["llama-3.1-405b", "--length", "1M", "--json"]
OURS = """
from seqcost.formulas.catalogue import configure
from seqcost.layers import build
def make():
    return build(configure({name!r}))
"""
THEIRS = """
import transformers
def make():
    config = transformers.AutoConfig.for_model({name!r}, **{sizes!r})
    return transformers.AutoModelForCausalLM.from_config(config)
"""
COUNTER = """
import json, torch
from torch.utils.flop_counter import FlopCounterMode
{made}
train = {phase!r} == "train"
with torch.device("meta"), torch.set_grad_enabled(train), FlopCounterMode(display=False) as counter:
    out = make()(torch.zeros(1, {length}, dtype=torch.int64))
    if train:
        out.logits.sum().backward()
print(json.dumps({{"flops": counter.get_total_flops()}}))
"""
AFTER_IMPORT = """
import json, time
import torch, seqcost
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


def same_as(name: str, length: str | int) -> Callable[[str], bool]:
    """Whether a command found the FLOPs of the formula in this process."""
    return lambda printed: flops_of(printed) == seqcost.count(name, length=length).flops


def counter(name: str, length: int, phase: str = "forward", **sizes: Any) -> list[str]:
    """PyTorch's own counter on a model of ours, or of transformers where its sizes are given."""
    made = (THEIRS if sizes else OURS).format(name=name, sizes=sizes)
    return [sys.executable, "-c", COUNTER.format(made=made, phase=phase, length=length)]


def traced(name: str, length: int, phase: str = "forward", **sizes: Any) -> list[str]:
    """The command that traces the same."""
    model = f"hf:{name}" if sizes else name
    given = [word for key, value in sizes.items() for word in ("--set", f"{key}={value}")]
    return [SEQCOST, "count", model, "--trace", "--length", str(length), "--phase", phase, "--json", *given]


QWEN3_8B = {
    "hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 12288, "vocab_size": 151936,
}  # fmt: skip
MAMBA2_2B7 = {"hidden_size": 2560, "num_heads": 80, "n_groups": 1, "vocab_size": 50288}
AGAIN = 36 * 2 * 1024**2 * 32 * 128  # q kᵀ of each layer, which flash attention's backward pass computes anew
LLAMA, QWEN, MAMBA = "llama-3.1-405b, 1,024 tokens", "Qwen3-8B, training step", "Mamba-2 2.7B, prefill"
PEERS = (  # what is traced, the goals, how a model is asked for, the FLOPs that meta tensors do not execute
    ("gpt2", None, None, ("gpt2", 1024), {}, 0),
    (LLAMA, 3.0, 2**30, ("llama-3.1-405b", 1024), {}, 0),
    (QWEN, 15.0, None, ("qwen3", 1024, "train"), QWEN3_8B, AGAIN),
    (MAMBA, 15.0, None, ("mamba2", 1024, "prefill"), MAMBA2_2B7, 0),
)
LENGTHS = "64,128,256,512,1k,2k,4k"
CASES = (
    Case("seqcost --help", [SEQCOST, "--help"], 9, lambda printed: "compare" in printed, 0.5),
    Case("seqcost count llama-3.1-405b, 1M tokens", [SEQCOST, "count", *BIG], 9, same_as("llama-3.1-405b", "1M"), 0.5),
    Case("the same with --trace", [SEQCOST, "count", "--trace", *BIG], 5, same_as("llama-3.1-405b", "1M"), 3.0, 2**30),
    Case(
        "seqcost compare gpt2 mamba-130m, seven lengths",
        [SEQCOST, "compare", "gpt2", "mamba-130m", "--lengths", LENGTHS, "--no-report", "--json"],
        5,
        lambda printed: str(seqcost.count("gpt2", length=4096).flops) in printed,
        3.0,
    ),
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
    assert all(same_as("gpt2", 1024)(printed) for *_, printed in runs), "the answer is wrong"
    times_s = [json.loads(printed)["seconds"] for *_, printed in runs]
    median_s = statistics.median(times_s)
    target = f"0.5 s {'met' if median_s < 0.5 else 'missed'}"
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
    cells = [process_row(case)[0] for case in CASES]
    ratios = []
    for title, most_s, most_bytes, asked, sizes, more in PEERS:
        peer, repetitions = counter(*asked, **sizes), 5 if title == "gpt2" else 3
        expected = flops_of(once(peer)[-1])
        case = Case(
            f"{title}, traced", traced(*asked, **sizes), repetitions, _finds(expected + more), most_s, most_bytes
        )
        ours, ours_s = process_row(case)
        theirs, theirs_s = process_row(Case("· peer: FlopCounterMode", peer, repetitions, _finds(expected)))
        cells += [ours, theirs]
        ratios.append(f"{title} {ours_s / theirs_s:.2f}")
    headings = ("<what", "wall", "fastest", "processor", "resident", "<target")
    publish(
        "speed",
        "Speed of the program",
        " ".join((__doc__ or "").split("\n\n")[2].split()),
        [Table.of("", headings, [*cells, import_row(), sweep_row()])],
        f"Every answer was checked before its time counted. Trace over peer, whole process: {', '.join(ratios)}.",
    )


def _finds(flops: int) -> Callable[[str], bool]:
    return lambda printed: flops_of(printed) == flops


if __name__ == "__main__":
    main()
