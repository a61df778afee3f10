"""How far predictions for an H100 are from what ran there: every catalogue run of data/h100, none calibrated with.

    python benchmarks/h100_accuracy.py

The profile is made of single kernels (data/h100/kernels.csv); the runs are whole layers and models in three phases.
Beside the prediction stand the datasheet's roofline and "70 % of the roofline and 7 µs a kernel". Writes
h100_accuracy.md; some three minutes.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from page import publish

import seqcost
from seqcost.machines import Machine, machine_named
from seqcost.questions.answers.prediction import Prediction
from seqcost.report.table import Table

HERE = Path(__file__).parent
RUNS = HERE / "data" / "h100" / "models.jsonl"
WITHIN = 0.1


def jobs() -> dict[str, list[dict]]:
    """The runs of each job of the catalogue that ended."""
    found: dict[str, list[dict]] = {}
    for line in RUNS.read_text().splitlines():
        run = json.loads(line)
        if run["status"] == "ok" and run["target"]["kind"] == "catalogue":
            key = json.dumps([run[name] for name in ("target", "phase", "B", "T", "dtype")], sort_keys=True)
            found.setdefault(key, []).append(run)
    return found


def roofline(found: Prediction, sheet: Machine, share: float = 1.0, launch_s: float = 0.0) -> float:
    """Seconds by the data sheet alone."""
    peak, bandwidth = sheet.peaks[found.count.dtype].amount, sheet.bandwidth.amount
    return sum(
        max(row.contraction / peak, row.bytes / bandwidth) / share + launch_s * row.launches for row in found.count.rows
    )


def row_of(name: str, errors: Sequence[float]) -> tuple[str, ...]:
    """Median, p90, share within ten percent."""
    ordered = sorted(errors)
    within = sum(error <= WITHIN for error in ordered) / len(ordered)
    middle, p90 = statistics.median(ordered), ordered[int(0.9 * len(ordered))]
    return name, str(len(ordered)), f"{100 * middle:.1f} %", f"{100 * p90:.1f} %", f"{100 * within:.0f} %"


def main() -> None:
    """Predict, compare, write the page."""
    machine, sheet = machine_named("h100"), machine_named("h100@datasheet")
    ways: dict[str, Callable[[Prediction], float]] = {
        "seqcost": lambda found: found.seconds.mid,
        "roofline of the data sheet": lambda found: roofline(found, sheet),
        "70 % of the roofline, 7 µs a kernel": lambda found: roofline(found, sheet, 0.7, 7e-6),
    }
    errors: dict[str, list[float]] = {name: [] for name in ways}
    groups: dict[str, list[float]] = {}
    peaks, held = [], []
    for key, runs in jobs().items():
        target, phase, B, T, dtype = json.loads(key)
        found = seqcost.predict(
            target["name"], machine=machine, length=T, batch=B, phase=phase, dtype=dtype, sizes=target.get("sizes")
        )
        seconds = statistics.median(statistics.median(run["wall_s"]) for run in runs)
        for name, way in ways.items():
            errors[name].append(abs(way(found) / seconds - 1))
        bound = "host" if found.timed.host_s > found.timed.device_s else "device"
        for group in (phase, dtype, f"bound by the {bound}"):
            groups.setdefault(group, []).append(errors["seqcost"][-1])
        held.append(seconds in found.seconds)
        peaks.append(abs(found.count.peak_bytes / runs[0]["peak_allocated_bytes"] - 1))
    words = (
        f"Runs of layers and models of the catalogue that were made on an H100 (data/h100/models.jsonl), beside what "
        f"`seqcost predict --machine {machine.key}` says of them. The profile knows single kernels alone."
    )
    verdict = (
        f"The 90 % intervals hold {100 * sum(held) / len(held):.0f} % of the runs; the part of them that stands for "
        "whole models was fitted to these runs, so that this is no test of it. Peak memory, counted as a CPU "
        f"allocates, is off by {100 * statistics.median(peaks):.1f} % at the median: kernels of a GPU keep other "
        "buffers."
    )
    headings = ("<", "runs", "median error", "p90", "within ±10 %")
    tables = [
        Table.of("Time, by what is predicted with", headings, [row_of(name, errors[name]) for name in ways]),
        Table.of("seqcost, by phase, format and bound", headings, [row_of(*found) for found in sorted(groups.items())]),
    ]
    publish("h100_accuracy", "Predictions for an H100", words, tables, verdict)


if __name__ == "__main__":
    main()
