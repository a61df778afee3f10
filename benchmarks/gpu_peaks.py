"""Peak memory on a GPU as a trace on the CPU foretells it, beside what was measured.

    python benchmarks/gpu_peaks.py [--seconds 120]

Traces the jobs of data/h100/models.jsonl and writes data/h100/peaks.csv. Nothing is added for the device: what its
libraries keep, and its other kernels, is what the difference shows.
"""

import argparse
import csv
import json
import time
from pathlib import Path

from seqcost.programs import Target
from seqcost.trace import trace

DATA = Path(__file__).parent / "data" / "h100"
COLUMNS = ("target", "phase", "B", "T", "dtype", "traced_bytes", "measured_bytes")


def main() -> None:
    """One job for each target, phase and format, as far as the seconds go."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120.0)
    end_s = time.monotonic() + parser.parse_args().seconds
    rows = [json.loads(line) for line in (DATA / "models.jsonl").read_text().splitlines()]
    found: dict[tuple[str, ...], dict[str, object]] = {}
    for row in rows:
        key = (row["target"]["name"], row["phase"], row["dtype"])
        if time.monotonic() > end_s:
            break
        if key in found or row["run"] == 1 or row["T"] > 2048 or row["wall_s"][0] > 0.03:  # thousands of operators
            continue
        traced = trace(
            Target.of_spec(row["target"]), phase=row["phase"], B=row["B"], T=row["T"], dtype=row["dtype"], lengths=()
        )
        found[key] = {
            "target": key[0], "phase": row["phase"], "B": row["B"], "T": row["T"], "dtype": row["dtype"],
            "traced_bytes": traced.peak_bytes, "measured_bytes": row["peak_allocated_bytes"],
        }  # fmt: skip
    with (DATA / "peaks.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(sorted(found.values(), key=lambda row: (str(row["target"]), str(row["phase"]))))


if __name__ == "__main__":
    main()
