"""Odd questions: each is to be answered or refused in one sentence, in bounded time and memory, without a network.

    python benchmarks/mutations.py            10,000 of them
    python benchmarks/mutations.py 500        fewer
    python benchmarks/mutations.py 10000 rows.jsonl    the rows are kept as they come; a run that ended goes on there

The cases are those of tests/mutated_cases.py: lengths, settings, options, spoilt configurations and files, and random
modules against a count of their own. Two child processes take them by turns, each many, as a user's process would; one
that outlives the time of a case is ended and started anew after it.
"""

import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TextIO

from page import publish

from seqcost.report.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

CASES, SEED = 10_000, 1
WORKERS = 2
LIMIT_S = 60.0  # of processor time
PATIENCE = 6  # times as long on the clock: the machine may be busy
LIMIT_BYTES = 2 * 2**30
OUTCOMES = {
    "answered": "exit code 0, or a count that is the independent one's",
    "refused": "one sentence, exit code 2, nothing on standard output",
    "raised": "a traceback, another exit code, or text that steers a terminal",
    "wrong": "another number than the independent count's",
    "looked up": "a network was looked up",
    "wrote": "a file was made",
    "large": f"over {LIMIT_BYTES // 2**30} GiB of resident memory",
    "late": f"over {LIMIT_S:.0f} s",
    "died": "the process ended",
}
GOOD = ("answered", "refused")


def serve(pipe: Connection, sound: dict[str, bytes]) -> None:
    """In a child: answer one number of a case after the other."""
    import mutated_cases
    import torch
    import transformers  # noqa: F401 - what it maps counts as there already

    torch.set_num_threads(1)
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + 3 * LIMIT_BYTES,) * 2)  # a bound for the machine's sake
    mutated_cases.watch()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        while (number := pipe.recv()) is not None:
            _forget_peak()
            begun = time.process_time()
            said, outcome, text = mutated_cases.ask(number, SEED, folder, sound)
            took, held = time.process_time() - begun, _peak_bytes()
            if outcome in GOOD and held > LIMIT_BYTES:
                outcome, text = "large", f"{held:,} bytes"
            elif outcome in GOOD and took > LIMIT_S:
                outcome, text = "late", f"{took:.0f} s"
            pipe.send((outcome, said, " ".join(text.split())[:400], took, held))


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_bytes() -> int:
    """Of this process since it was forgotten, or of the largest one it ever started."""
    status = Path("/proc/self/status").read_text()
    own = int(status.partition("VmHWM:")[2].split()[0])
    return 1024 * max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def work(
    numbers: Any, lock: Lock, sound: dict[str, bytes], found: list[dict[str, Any]], keep: TextIO | None = None
) -> None:
    """In a thread: keep one child busy; a new one where it is late or has died."""
    context = multiprocessing.get_context("spawn")
    child, pipe = None, None
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            break
        patience = PATIENCE * LIMIT_S
        if child is None:
            pipe, other = context.Pipe()
            child = context.Process(target=serve, args=(other, sound), daemon=True)
            child.start()
            other.close()
            patience += 600  # for loading torch and transformers
        pipe.send(number)
        try:
            late = not pipe.poll(patience)
            outcome, said, text, took, held = ("late", "", "", patience, 0) if late else pipe.recv()
        except (EOFError, ConnectionError):
            late, outcome, said, text, took, held = True, "died", "", "", 0.0, 0
        row = {"number": number, "outcome": outcome, "what": said, "text": text, "s": took, "bytes": held}
        with lock:
            found.append(row)
            if keep is not None:
                keep.write(json.dumps(row) + "\n")
                keep.flush()
        if late:
            child.kill()
            child.join()
            child = None
    if child is not None:
        pipe.send(None)
        child.join()


def _remaining(bad: list[dict[str, Any]]) -> Table:
    rows = [(str(row["number"]), row["outcome"], row["what"][:80], row["text"][:160]) for row in bad[:50]]
    return Table.of("Neither answered nor refused", ("number", "<outcome", "<what was asked", "<what happened"), rows)


def main() -> None:
    """A page of counts by outcome and by family."""
    os.environ["SEQCOST_PROGRESS"] = "0"  # standard error has one sentence, however slow the machine is
    import mutated_cases

    cases = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    sound = {"onnx": mutated_cases.sound_graph(), "programs": mutated_cases.sound_program()}
    rows = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    found = [json.loads(line) for line in rows.read_text().splitlines()] if rows is not None and rows.exists() else []
    known = {row["number"] for row in found}
    numbers, lock = (number for number in range(cases) if number not in known), Lock()
    keep = None if rows is None else rows.open("a")
    threads = [Thread(target=work, args=(numbers, lock, sound, found, keep)) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.sort(key=lambda row: row["number"])
    print("\n".join(json.dumps(row) for row in found if row["outcome"] not in GOOD))
    page(found, mutated_cases.family_of)


def page(found: list[dict[str, Any]], family_of: Any) -> None:
    """Write what was found."""
    counts = Counter(row["outcome"] for row in found)
    by_family: dict[str, list[dict[str, Any]]] = {}
    for row in found:
        by_family.setdefault(family_of(row["number"])[0], []).append(row)
    rows = [
        (
            family,
            *(f"{sum(row['outcome'] == outcome for row in part):,}" for outcome in OUTCOMES),
            f"{max(row['s'] for row in part):.1f}",
            f"{max(row['bytes'] for row in part) / 2**30:.2f}",
        )
        for family, part in sorted(by_family.items())
    ]
    bad = [row for row in found if row["outcome"] not in GOOD]
    publish(
        "mutations",
        "Odd questions",
        f"{len(found):,} questions (seed {SEED}): lengths, settings and options of commands that nobody would type; "
        "Hugging Face configurations, safetensors, ONNX and .pt2 files with bytes, values or members spoilt; and "
        "random modules over 48 operators, forward and training, against the products that a dispatch mode of the "
        "test's own sees on real tensors. A question is asked as a user asks, through the command. Every tenth file is "
        "read in a process of its own, as all are outside of this script, the others in the asking one. Limits: "
        f"{LIMIT_S:.0f} s of processor time a case and {LIMIT_BYTES // 2**30} GiB of resident memory, PyTorch's and "
        "transformers' own included.",
        [
            Table.of("By outcome", ("<outcome", "<what it is", "cases"),
                     [(name, words, f"{counts[name]:,}") for name, words in OUTCOMES.items()]),
            Table.of("By family", ("<family", *OUTCOMES, "longest s", "most GiB"), rows),
            *([_remaining(bad)] if bad else []),
        ],
        f"{len(found) - len(bad):,} of {len(found):,} questions are answered or refused in one sentence; the slowest "
        f"took {max(row['s'] for row in found):.1f} s of processor time.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
