"""Whether `seqcost fit` is true: lengths run within the limit, half a per cent more does not, remedies do as is said.

    python benchmarks/fit.py                      all of it, and the page
    python benchmarks/fit.py lengths              the first part: twelve architectures, training and decoding
    python benchmarks/fit.py lengths gru          only this one; --limit 256MiB another limit
    python benchmarks/fit.py remedies             the second part: three remedies of six targets
    python benchmarks/fit.py remedies lstm        only this one; --processes 1

Everything runs for real, in processes of its own. The limit is enforced: PyTorch's allocator refuses what would pass it
(see enforced.py). The remedies are timed beside the target as it is, both in turn in one process; what is said of their
time needs a profile of this machine: `seqcost calibrate --threads 1`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from math import ceil
from statistics import median
from typing import Any

import torch
from enforced import enforced
from page import publish

from seqcost.measure.peak import peak_allocated_bytes, storage_bytes
from seqcost.programs import Program, load
from seqcost.questions.asked.amounts import bytes_in
from seqcost.questions.asked.request import Request
from seqcost.questions.fit import fit
from seqcost.questions.fitting.remedies import combined, remedies
from seqcost.questions.fitting.setup import Setup
from seqcost.questions.targets.resolve import resolve
from seqcost.report.table import Table

ARCHITECTURES = (
    "transformer", "window", "lsh", "lstm", "gru", "mingru",
    "mamba", "mamba2", "linear-attention", "retnet", "gla", "hybrid",
)  # fmt: skip
SIZES = {"D": 128, "L": 4}
BATCH = {"train": 8, "decode": 64}
FURTHER = 1.005
ANY = 4096  # tokens behind a decoding step where every length fits

SMALL = {"D": 256, "L": 4, "U": 4096}
LLAMA = {
    "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8,
    "num_key_value_heads": 8, "vocab_size": 4096,
}  # fmt: skip
# name -> target, its sizes, what is asked of it
TARGETS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "transformer": ("transformer", SMALL, {"batch": 4, "memory": "512MiB"}),
    "eager": ("transformer", SMALL | {"implementation": "materialised"},
              {"batch": 4, "memory": "512MiB", "optimizer": "adamw"}),
    "lstm": ("lstm", SMALL, {"batch": 8, "memory": "256MiB"}),
    "mamba": ("mamba", SMALL, {"batch": 4, "memory": "512MiB"}),
    "decode": ("transformer", SMALL, {"batch": 16, "memory": "512MiB", "phase": "decode"}),
    "llama": ("hf:llama", LLAMA, {"batch": 4, "memory": "512MiB"}),
}  # fmt: skip
BEST = 3
NOT_HERE = (
    "8-bit optimizer states",
    "states over 8 devices",
    "offload what is kept",
)  # nothing of PyTorch applies them
MEMORY_WITHIN, TIME_WITHIN = 0.01, 0.15
PROCESSES, SECONDS = 5, 4.0  # of a comparison in one process


def main() -> None:
    """Both parts, or one."""
    parser = argparse.ArgumentParser(description="Run what fit says fits, half a per cent more, and its remedies.")
    parser.add_argument("part", nargs="?", choices=("lengths", "remedies"))
    parser.add_argument("names", nargs="*")
    parser.add_argument("--limit", default="512MiB")
    parser.add_argument("--processes", type=int, default=PROCESSES)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        order = json.loads(asked.run)
        torch.set_num_threads(1)
        print(json.dumps(JOBS[order.pop("job")](**order)))
        return
    parts = []
    if asked.part in (None, "lengths"):
        parts.append(lengths(asked.names or ARCHITECTURES, asked.limit))
    if asked.part in (None, "remedies"):
        parts.append(all_remedies(asked.names or TARGETS, asked.processes))
    if asked.part is None:
        words = " ".join(said for _, said, _ in parts)
        publish("fit", "What fits, run", words, [table for table, _, _ in parts], " ".join(v for _, _, v in parts))


def apart(job: str, **order: Any) -> dict[str, Any]:
    """What a job answers in a process of its own."""
    ended = subprocess.run(
        [sys.executable, __file__, "--run", json.dumps({"job": job, **order})],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def lengths(names: Any, limit_text: str) -> tuple[Table, str, str]:
    """Every architecture in both phases."""
    limit, rows, true = bytes_in(limit_text, "--limit"), [], 0
    for name in names:
        for phase in BATCH:
            row, holds = compared(name, phase, limit)
            true += holds
            rows.append((*row, "yes" if holds else "no"))
            print(*rows[-1], flush=True)
    headings = ("<model", "<phase", "T", "said", "held", "T + 0.5 %", "said there", "refused", "<true")
    words = (
        f"**Lengths.** Language models of width {SIZES['D']} and {SIZES['L']} layers, float32, one thread, under a "
        f"limit of {limit_text} that PyTorch's allocator enforces: training steps of {BATCH['train']} sequences, "
        f"decoding steps of {BATCH['decode']}. *said* is the peak in bytes at the length T that `fit` gives, *held* "
        "the most that tensors held at once when it ran to its end, with what lay there before; *refused* is what the "
        "run of half a per cent more had asked for, all in all, when the allocator ended it; *any*: every length fits, "
        f"and one of {ANY:,} was run."
    )
    verdict = (
        f"{true} of {len(rows)} lengths are true: the run ends within the limit, that of half a per cent more is "
        "refused."
    )
    return Table.of("lengths", headings, rows), words, verdict


def compared(name: str, phase: str, limit: int) -> tuple[tuple[str, ...], bool]:
    """What fit says beside what ran, and whether it is true."""
    asked: dict[str, Any] = {"memory": limit, "phase": phase, "batch": BATCH[phase], "sizes": SIZES, "remedies": False}
    found = fit(name, **asked)
    said = found.largest.cost
    T = ANY if found.bound == "nothing" else found.size
    assert T is not None
    ran = apart("limited", name=name, phase=phase, T=T, limit=limit)
    if found.bound == "nothing":
        row = (name, phase, "any", f"{said:,}", f"{ran['held']:,}", "", "", "")
        return row, not ran["refused"] and ran["held"] == said
    more = ceil(T * FURTHER)
    beyond = fit(name, length=more, **asked).asked
    assert beyond is not None
    ended = apart("limited", name=name, phase=phase, T=more, limit=limit)
    row = (name, phase, f"{T:,}", f"{said:,}", f"{ran['held']:,}", f"{more:,}", f"{beyond.peak_bytes:,}",
           f"{ended['refused']:,}" if ended["refused"] else "no")  # fmt: skip
    return row, not ran["refused"] and ended["refused"] > limit


def limited(name: str, phase: str, T: int, limit: int) -> dict[str, Any]:
    """A run at one length within the limit."""
    program = load({"kind": "catalogue", "name": name, "sizes": SIZES}, phase=phase, B=BATCH[phase], T=T)
    program.run()  # what is made only once is made here
    return enforced(program.run_once, storage_bytes(program.lasting_tensors()), limit)


def all_remedies(names: Any, processes: int) -> tuple[Table, str, str]:
    """The best remedies of every target."""
    rows, kept = [], [0, 0]
    for name in names:
        for said in told(name):
            ran = [apart("both", name=name, remedy=said["remedy"], T=said["T"]) for _ in range(processes)]
            ratio = median(one["ratio"] for one in ran)
            memory = ran[0]["peak"] / said["peak"] - 1
            slower = said["ratio"] / ratio - 1
            within = abs(memory) <= MEMORY_WITHIN, abs(slower) <= TIME_WITHIN
            kept = [n + bool(true) for n, true in zip(kept, within, strict=True)]
            rows.append((
                name, said["remedy"], f"{said['T']:,}", f"{said['peak']:,}", f"{ran[0]['peak']:,}", f"{memory:+.2%}",
                f"{said['ratio']:.3f}×", f"{ratio:.3f}×",
                f"{min(one['ratio'] for one in ran):.3f}–{max(one['ratio'] for one in ran):.3f}", f"{slower:+.0%}",
                " and ".join(what for what, true in zip(("memory", "time"), within, strict=True) if true) or "neither",
            ))  # fmt: skip
            print(*rows[-1], flush=True)
    headings = ("<target", "<remedy", "T", "peak said", "peak run", "off", "time said", "time run", "processes", "off",
                "<within")  # fmt: skip
    words = (
        f"**Remedies.** Of {len(TARGETS)} targets the {BEST} remedies that reach furthest, each applied and run at the "
        "longest length that the target itself fits in. Peaks are what tensors held at once; times are those beside "
        f"the target as it is, said by `fit` from this machine's profile, run in turn in {processes} processes, of "
        "which the median counts. All on one thread. "
        f"Within: memory to {MEMORY_WITHIN:.0%}, time to {TIME_WITHIN:.0%}."
    )
    verdict = (
        f"Of {len(rows)} remedies {kept[0]} are within {MEMORY_WITHIN:.0%} in memory and {kept[1]} within "
        f"{TIME_WITHIN:.0%} in time."
    )
    return Table.of("remedies", headings, rows), words, verdict


def told(name: str) -> list[dict[str, Any]]:
    """What fit says of the best remedies of a target."""
    target, sizes, asked = TARGETS[name]
    found = fit(target, sizes=sizes, machine="here", **asked).trials
    assert found is not None
    assert found.own_seconds is not None
    alone = [one for one in found.tried if len(one.names) == 1 and one.names[0] not in NOT_HERE]
    helping = [one for one in alone if one.peak_bytes < found.own_peak_bytes]
    return [
        {"remedy": one.names[0], "T": found.at, "peak": one.peak_bytes, "ratio": one.seconds / found.own_seconds}
        for one in helping[:BEST]
        if one.seconds is not None
    ]


def setups(name: str, remedy: str, T: int) -> tuple[Setup, Setup]:
    """The target as it is and with a remedy."""
    target, sizes, asked = TARGETS[name]
    words = {"phase": "train"} | {key: value for key, value in asked.items() if key != "memory"}
    own = Setup(subject=resolve(target, sizes), request=Request.of(**words).at(T))
    (chosen,) = (one for one in remedies(accelerator=False) if one.name == remedy)
    return own, combined(own, (chosen,))


def loaded(setup: Setup) -> Program:
    """The program of a setup."""
    asked, spec = setup.request, setup.subject.spec() | {"changes": dict(setup.changes)}  # type: ignore[attr-defined]
    assert asked.T is not None
    return load(
        spec, phase=asked.phase, B=asked.B or 1, T=asked.T, dtype=asked.dtype or "float32", optimizer=asked.optimizer,
        accumulate=asked.accumulate,
    )  # fmt: skip


def both(name: str, remedy: str, T: int) -> dict[str, Any]:
    """A remedy and the target as it is, run in turn: the peak of the one, and the ratio of their times."""
    own, other = map(loaded, setups(name, remedy, T))
    timed(own.run)
    timed(other.run)
    peak = peak_allocated_bytes(other.run_once, other.lasting_tensors(), torch.device("cpu"))
    took: list[tuple[float, float]] = []
    started = time.perf_counter()
    while len(took) < 3 or time.perf_counter() - started < SECONDS:
        took.append((timed(own.run), timed(other.run)))
    first, second = (median(column) for column in zip(*took, strict=True))
    return {"peak": peak, "ratio": second / first, "own_s": first, "rounds": len(took)}


def timed(run: Callable[[], object]) -> float:
    """Seconds of a run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


JOBS: dict[str, Callable[..., dict[str, Any]]] = {"limited": limited, "both": both}


if __name__ == "__main__":
    main()
