"""Spoilt Hugging Face configurations: each is to be answered or refused in one sentence, in bounded time and memory.

    python benchmarks/mutations.py            10,000 of them
    python benchmarks/mutations.py 500        fewer

The cases are those of tests/mutated_configs.py. A few child processes take them by turns; one that outlives the time of
a case is ended and started anew after it, one that asks for more memory than the limit is refused it by the system.
"""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from page import publish

from seqcost.report.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from mutated_configs import as_json, mutated

CASES, SEED, LENGTH = 10_000, 1, 8
WORKERS = 2
LIMIT_S, LIMIT_BYTES = 60.0, 4 * 2**30
OUTCOMES = {
    "answered": "a count",
    "refused": "one sentence, exit code 2",
    "raised": "another exception",
    "late": f"over {LIMIT_S:.0f} s",
    "died": "the process ended",
}


def serve(pipe: Connection) -> None:
    """In a child: answer one number of a case after the other."""
    import torch

    from seqcost.errors import SeqcostError
    from seqcost.questions.targets import spec_of
    from seqcost.trace import Target, trace

    torch.set_num_threads(1)
    _warm()
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + LIMIT_BYTES,) * 2)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        while (number := pipe.recv()) is not None:
            words, config = mutated(SEED, number)
            file.write_text(as_json(config), "utf-8")
            try:
                trace(Target.of_spec(spec_of(str(file), {})), phase="forward", B=1, T=LENGTH, lengths=())
                outcome, text = "answered", ""
            except SeqcostError as error:
                outcome, text = "refused" if "\n" not in str(error) else "raised", f"{type(error).__name__}: {error}"
            except BaseException as error:  # noqa: BLE001 - what this page is about
                outcome, text = "raised", f"{type(error).__name__} in {_where(error)}: {error}"
            pipe.send((outcome, words, " ".join(text.split())[:400]))


def _warm() -> None:
    import transformers  # noqa: F401 - what it maps counts as there already

    import seqcost.trace  # noqa: F401


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


def _where(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"


def work(numbers: Any, lock: Lock, found: list[dict[str, Any]]) -> None:
    """In a thread: keep one child busy; a new one where it is late or has died."""
    context = multiprocessing.get_context("spawn")
    child, pipe = None, None
    while True:
        with lock:
            number = next(numbers, None)
        if number is None:
            break
        if child is None:
            pipe, other = context.Pipe()
            child = context.Process(target=serve, args=(other,), daemon=True)
            child.start()
            other.close()
            started_anew = LIMIT_S  # for loading torch
        else:
            started_anew = 0.0
        begun = time.perf_counter()
        pipe.send(number)
        try:
            late = not pipe.poll(LIMIT_S + started_anew)
            outcome, words, text = ("late", mutated(SEED, number)[0], "") if late else pipe.recv()
        except (EOFError, ConnectionError):
            late, outcome, words, text = True, "died", mutated(SEED, number)[0], ""
        found.append(
            {"number": number, "outcome": outcome, "what": words, "text": text, "s": time.perf_counter() - begun}
        )
        if late:
            child.kill()
            child.join()
            child = None
    if child is not None:
        pipe.send(None)
        child.join()


def _remaining(bad: list[dict[str, Any]]) -> Table:
    rows = [(str(row["number"]), row["outcome"], row["what"], row["text"][:160]) for row in bad[:50]]
    return Table.of("Neither answered nor refused", ("number", "<outcome", "<what was done", "<error"), rows)


def main() -> None:
    """A page of counts by outcome and by what was done."""
    cases = int(sys.argv[1]) if len(sys.argv) > 1 else CASES
    numbers, lock, found = iter(range(cases)), Lock(), []
    threads = [Thread(target=work, args=(numbers, lock, found)) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.sort(key=lambda row: row["number"])
    print("\n".join(json.dumps(row) for row in found if row["outcome"] not in ("answered", "refused")))
    counts = Counter(row["outcome"] for row in found)
    kinds = sorted({row["what"].partition(":")[0] for row in found})
    by_kind = [
        (kind, *(f"{sum(r['outcome'] == o for r in found if r['what'].startswith(kind + ':')):,}" for o in OUTCOMES))
        for kind in kinds
    ]
    refusals = Counter(row["text"].partition(":")[0] for row in found if row["outcome"] == "refused")
    bad = [row for row in found if row["outcome"] not in ("answered", "refused")]
    slowest = max(row["s"] for row in found)
    publish(
        "mutations",
        "Spoilt configurations",
        f"{cases:,} Hugging Face configurations, each with one to three settings spoilt (seed {SEED}): types swapped, "
        f"negative, zero, huge, missing, nested garbage, unknown keys. Traced at T = {LENGTH}; limits of "
        f"{LIMIT_S:.0f} s a case and {LIMIT_BYTES // 2**30} GiB beyond what the libraries take.",
        [
            Table.of("By outcome", ("<outcome", "<what it is", "cases"),
                     [(name, words, f"{counts[name]:,}") for name, words in OUTCOMES.items()]),
            Table.of("Refusals", ("<error", "cases"), [(name, f"{n:,}") for name, n in refusals.most_common()]),
            Table.of("By model type", ("<type", *OUTCOMES), by_kind),
            *([_remaining(bad)] if bad else []),
        ],
        f"{len(found) - len(bad):,} of {cases:,} cases are answered or refused in one sentence; the slowest took "
        f"{slowest:.1f} s.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
