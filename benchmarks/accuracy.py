"""How far `seqcost predict` strays from what runs take on this CPU: runs anybody can make, and the page about them.

    python benchmarks/accuracy.py run FOLDER          three quarters of an hour of a quiet machine
    python benchmarks/accuracy.py page FOLDER         docs/accuracy.md, and errors.jsonl in the folder

`run` makes rounds: a calibration (in the first five), then every job of accuracy_jobs once, in processes of their own
(accuracy_rounds). It appends to what the folder has, so that it may be interrupted and started again; `--names` runs
some targets alone. `page` predicts every job from the first calibration and compares (accuracy_page). Counts are kept
in the folder too, so that a change of the model of time alone is judged in seconds; `--recount` makes them anew.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import seqcost
from seqcost.measure.kernels.timing import BOUND
from seqcost.records import this_environment

ROUNDS, CALIBRATIONS = 7, 5
HERE = Path(__file__).parent
PLACE = "environment.json"


def run(folder: Path, rounds: int, threads: int, names: list[str]) -> None:
    """Calibrate and run what the folder lacks."""
    folder.mkdir(parents=True, exist_ok=True)
    place = {"threads": threads, "environment": this_environment().to_dict()}
    (folder / PLACE).write_text(json.dumps(place, indent=1))
    number = str(threads)
    bound = BOUND if threads > 1 else {}  # two threads on one core wait for each other
    environ = {**os.environ, "OMP_NUM_THREADS": number, "MKL_NUM_THREADS": number, **bound}
    for k in range(1, rounds + 1):
        profile = folder / f"calibration_{k}.toml"
        if k <= CALIBRATIONS and not profile.exists():
            print(f"round {k}: calibrating", file=sys.stderr, flush=True)
            seqcost.calibrate(threads=threads, output=profile, anyway=True)
        command = [sys.executable, str(HERE / "accuracy_rounds.py"), str(folder), str(k), number, *names]
        subprocess.run(command, env=environ, check=True)


def main() -> None:
    """Run, or write the page."""
    parser = argparse.ArgumentParser(description="How far predictions stray from runs on this CPU.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="calibrate and run, in rounds")
    running.add_argument("folder", type=Path)
    running.add_argument("--rounds", type=int, default=ROUNDS)
    running.add_argument("--threads", type=int, default=1)
    running.add_argument("--names", nargs="*", default=[], help="these targets alone, such as gru other_modules:gpt2")
    paging = commands.add_parser("page", help="predict, compare, write the page")
    paging.add_argument("folder", type=Path)
    paging.add_argument("--output", type=Path, default=HERE.parent / "docs" / "accuracy.md")
    paging.add_argument("--recount", action="store_true", help="count anew what was counted before")
    paging.add_argument("--clock", choices=("wall_s", "cpu_s"), default="wall_s", help="cpu_s: runs of a busy machine")
    asked = parser.parse_args()
    if asked.command == "run":
        run(asked.folder, asked.rounds, asked.threads, asked.names)
    else:
        from accuracy_page import page

        page(asked.folder, asked.output, recount=asked.recount, clock=asked.clock)


if __name__ == "__main__":
    main()
