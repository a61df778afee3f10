"""Whether `seqcost fit` is true: the length that it gives runs within the limit, and half a per cent more does not.

    python benchmarks/fit.py                      all twelve architectures, training and decoding
    python benchmarks/fit.py gru transformer      only these; --limit 256MiB another limit

Each length runs for real, in a process of its own. What is held against the limit is the most bytes that PyTorch's
allocator handed out at once, with what lay there before (`measure.peak`): the same bytes that the limit of `fit` is
about. The system's own limits are not used: they count Python, libraries and what malloc keeps for later as well.
"""

import argparse
import json
import os
import subprocess
import sys
from math import ceil

import torch
from page import publish

from seqcost.measure.peak import peak_allocated_bytes
from seqcost.programs import load
from seqcost.questions.asked.amounts import bytes_in
from seqcost.questions.fit import fit
from seqcost.report.table import Table

ARCHITECTURES = (
    "transformer", "window", "lsh", "lstm", "gru", "mingru",
    "mamba", "mamba2", "linear-attention", "retnet", "gla", "hybrid",
)  # fmt: skip
SIZES = {"D": 128, "L": 4}
BATCH = {"train": 8, "decode": 64}
FURTHER = 1.005
ANY = 100_000  # tokens behind a decoding step where every length fits


def main() -> None:
    """Every architecture in both phases."""
    parser = argparse.ArgumentParser(description="Run what fit says fits, and half a per cent more.")
    parser.add_argument("names", nargs="*", default=ARCHITECTURES)
    parser.add_argument("--limit", default="512MiB")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.run:
        print(counted(**json.loads(asked.run)))
        return
    limit, rows, true = bytes_in(asked.limit, "--limit"), [], 0
    for name in asked.names:
        for phase in BATCH:
            row, holds = compared(name, phase, limit)
            true += holds
            rows.append((*row, "yes" if holds else "no"))
            print(*rows[-1], flush=True)
    if tuple(asked.names) == ARCHITECTURES:
        page(rows, true, asked.limit)


def compared(name: str, phase: str, limit: int) -> tuple[tuple[str, ...], bool]:
    """What fit says beside what ran, and whether it is true."""
    found = fit(name, memory=limit, phase=phase, batch=BATCH[phase], sizes=SIZES, remedies=False)
    said = found.largest.cost
    if found.bound == "nothing":
        at = of_process(name, phase, ANY)
        return (name, phase, "any", f"{said:,}", f"{at:,}", "", ""), at == said <= limit
    assert found.size is not None
    more = ceil(found.size * FURTHER)
    at, beyond = of_process(name, phase, found.size), of_process(name, phase, more)
    row = (name, phase, f"{found.size:,}", f"{said:,}", f"{at:,}", f"{more:,}", f"{beyond:,}")
    return row, at <= limit < beyond


def of_process(name: str, phase: str, T: int) -> int:
    """The peak of a run at one length, in a process of its own."""
    order = json.dumps({"name": name, "phase": phase, "T": T})
    ended = subprocess.run(
        [sys.executable, __file__, "--run", order],
        stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return int(ended.stdout.split()[-1])


def counted(name: str, phase: str, T: int) -> int:
    """The most bytes that the allocator handed out at once."""
    torch.set_num_threads(1)
    program = load({"kind": "catalogue", "name": name, "sizes": SIZES}, phase=phase, B=BATCH[phase], T=T)
    program.run()  # what is made only once is made here
    found = peak_allocated_bytes(program.run_once, program.lasting_tensors(), torch.device("cpu"))
    assert found is not None
    return found


def page(rows: list[tuple[str, ...]], true: int, limit: str) -> None:
    """Write the page."""
    headings = ("<model", "<phase", "T", "said", "counted", "T + 0.5 %", "counted there", "<true")
    words = (
        f"Language models of width {SIZES['D']} and {SIZES['L']} layers, float32, one thread, under a limit of {limit}:"
        f" training steps of {BATCH['train']} sequences, decoding steps of {BATCH['decode']}. *said* is the peak in "
        "bytes at the length T that `fit` gives, *counted* the most that PyTorch's allocator handed out at once when "
        f"it ran, with what lay there before; *any*: every length fits, and one of {ANY:,} was run."
    )
    verdict = f"{true} of {len(rows)} answers are true: the length runs within the limit, half a per cent more not."
    publish("fit", "What fits, run", words, [Table.of("", headings, rows)], verdict)


if __name__ == "__main__":
    main()
