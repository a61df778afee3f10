"""How long a whole model of transformers takes to be traced, and whether its memory is given back.

    python benchmarks/whole_models.py          every type: most of an hour
    python benchmarks/whole_models.py 8        every eighth

Types of the installed release that write or read text, each in its default configuration, layers, widths and all, are
counted by one process, one after another: a forward pass of 256 tokens, with its function of the length. Seconds are
the process's own (a busy machine lengthens them less than those of the clock); memory is what is resident once the
answer is gone.
"""

import contextlib
import gc
import os
import signal
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from types import FrameType

import psutil
from page import publish
from transformers_models import text_types

import seqcost
from seqcost.algebra.rendering import scaled, seconds
from seqcost.errors import SeqcostError, one_line
from seqcost.report.table import Table

T = 256
GOAL_S, LIMIT_S = 20.0, 120
SLOWEST = 20


class _TooLongError(BaseException):
    """Raised by the clock; no code of a model catches it."""


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Stop what takes longer than the limit."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise _TooLongError

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)


def counted(kind: str) -> tuple[float, str]:
    """Processor seconds, and why there is no answer."""
    start_s, said = time.process_time(), ""
    try:
        with limited():
            seqcost.count(f"hf:{kind}", length=T)
    except SeqcostError as error:
        said = one_line(error, most=90)
    except _TooLongError:
        said = f"longer than {LIMIT_S} s"
    return time.process_time() - start_s, said


def resident_bytes() -> int:
    """What the process holds."""
    gc.collect()
    return psutil.Process().memory_info().rss


def main() -> None:
    """Count them all."""
    warnings.simplefilter("ignore")
    counted("gpt2")  # loads the libraries
    before_bytes = resident_bytes()
    found = []
    every = text_types()
    for kind in every[:: int(sys.argv[1]) if len(sys.argv) > 1 else 1]:
        used_s, said = counted(kind)
        found.append((kind, used_s, resident_bytes(), said))
        print(kind, f"{used_s:.1f} s", scaled(found[-1][2], "B"), said, flush=True)
    answered = [row for row in found if not row[3]]
    slow = sorted(found, key=lambda row: -row[1])[:SLOWEST]
    cells = [(kind, seconds(used_s), scaled(held, "B"), said) for kind, used_s, held, said in slow]
    late = sum(used_s > GOAL_S for _, used_s, _, _ in found)
    publish(
        "whole_models",
        "Whole models of transformers in one process",
        " ".join((__doc__ or "").split("\n\n")[2].split()),
        [Table.of(f"The slowest {SLOWEST}", ("<model type", "processor", "resident after it", "<no answer"), cells)],
        f"{len(found)} of {len(every)} types, {len(answered)} answered; "
        f"median {seconds(statistics.median(row[1] for row in found))}; "
        f"{late} took longer than {GOAL_S:g} s. Resident: {scaled(before_bytes, 'B')} after the first, "
        f"{scaled(found[-1][2], 'B')} after the last, {scaled(max(row[2] for row in found), 'B')} at most; "
        f"load {os.getloadavg()[0]:.1f} at the end.",
    )


if __name__ == "__main__":
    main()
