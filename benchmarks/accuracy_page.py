"""The page docs/accuracy.md: predictions beside the runs of a folder. Makes no run."""

import json
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from accuracy_data import CORRECTIONS, Folder, Judged
from accuracy_jobs import LENGTHS, OTHERS, WIDTHS
from accuracy_orders import HEADINGS, orders, share
from page import described, publish

from seqcost.algebra.rendering import seconds
from seqcost.machines import Machine
from seqcost.prediction import Interval
from seqcost.prediction.interval import NINETY
from seqcost.questions.asked.machine import assumed_here
from seqcost.questions.predict import predicted
from seqcost.records.statistics import quantile
from seqcost.report.table import Table

PHASES = ("forward", "train", "decode")
WITHIN = 0.1
SHARE, LAUNCH_S = 0.7, 7e-6
GOALS = "Goals: median ≤ max(5 %, floor), p90 ≤ max(15 %, 1.3 × floor)"
ERRORS = ("runs", "median error", "p90", "within ±10 %", "predicted / measured")
WORST = 10
PEAK = 0.005


def page(path: Path, output: Path, *, recount: bool, clock: str) -> None:
    """Compare and write."""
    folder = Folder(path, clock)
    judged = folder.judged(recount=recount)
    write_errors(path / "errors.jsonl", judged, folder.machines[0])
    launches = folder.launches(recount=recount)
    tables = [
        main_table(judged, folder.machines[0]),
        floors(folder),
        split(judged),
        by_target(judged),
        worst(judged),
        Table.of("Order and crossovers", HEADINGS, [orders(judged, phase).row(phase) for phase in PHASES]),
    ]
    publish(
        "accuracy", "How far predictions stray", words(folder), tables,
        "\n\n".join((coverage(judged), recalibrated(judged, folder.machines), counted(launches), memory(judged),
                     left_out(folder, judged))),
        made=made(folder), path=output,
    )  # fmt: skip


def words(folder: Folder) -> str:
    """The protocol."""
    rounds = len({line["round"] for line in folder.lines})
    threads = folder.place["threads"]
    return (
        f"What `seqcost predict TARGET` says of this CPU, {threads} thread{'s' * (threads > 1)}, beside what ran on "
        "it: the model of every architecture of the catalogue (presets are the same at other sizes), modules of other "
        f"packages (benchmarks/{OTHERS}.py), forward, training step and decoding, at {', '.join(map(str, LENGTHS))} "
        f"tokens and widths of {' and '.join(map(str, WIDTHS))}, one sequence, float32. No calibration has seen any of "
        "them.\n\n"
        f"Each job ran in {rounds} processes that are spread over the time of all, each between two looks at the "
        "reference kernels (a product, an addition); its time is corrected by their ratio to their usual one: here by "
        f"{folder.chosen}{', on the clock of the processor' * (folder.clock == 'cpu_s')}. The time of a job "
        "is the median of the medians of its processes. Errors are |predicted / measured − 1|."
    )


def made(folder: Folder) -> str:
    """When, where, beside whom."""
    at = sorted(line["at"] for line in folder.lines)
    others = [line["other_cores"] for line in folder.lines]
    return (
        f"Runs made from {at[0][:16].replace('T', ' ')} to {at[-1][:16].replace('T', ' ')} UTC: "
        f"{described(folder.environment)}; other processes kept {statistics.median(others):.2f} cores busy at the "
        f"median, {quantile(others, 0.9):.2f} at the 90th percentile."
    )


def roofline(one: Judged, machine: Machine, part: float = 1.0, launch_s: float = 0.0) -> float:
    """Seconds by peak and bandwidth alone."""
    assert machine.bandwidth is not None
    peak, bandwidth = machine.peaks[one.job.dtype].amount, machine.bandwidth.amount
    return sum(
        max(float(row.contraction) / peak, float(row.bytes) / bandwidth) / part + launch_s * float(row.launches)
        for row in one.found.count.rows
    )


def error_row(name: str, errors: Sequence[float], ratios: Sequence[float] = ()) -> tuple[str, ...]:
    """Median, p90, share within ten percent, and the median of predicted over measured."""
    if not errors:
        return (name, "0", *("–",) * 4)
    return (
        name, f"{len(errors):,}", percent(statistics.median(errors)), percent(quantile(errors, 0.9)),
        share(sum(error <= WITHIN for error in errors), len(errors)),
        f"{statistics.median(ratios):.2f}" if ratios else "–",
    )  # fmt: skip


def percent(part: float) -> str:
    """Rounded."""
    return f"{100 * part:.1f} %"


def of_judged(name: str, judged: Sequence[Judged]) -> tuple[str, ...]:
    """A row of seqcost's errors."""
    return error_row(name, [abs(one.error) for one in judged], [1 + one.error for one in judged])


def main_table(judged: Sequence[Judged], machine: Machine) -> Table:
    """Seqcost, the floor, and what else one could predict with."""
    assumed = assumed_here(machine.threads)
    ideal = [roofline(one, machine) / one.seconds for one in judged]
    efficiency = min(
        sorted(ideal)[:: max(1, len(ideal) // 200)], key=lambda e: statistics.median(abs(r / e - 1) for r in ideal)
    )
    ways: dict[str, Callable[[Judged], float]] = {
        "seqcost, never calibrated": lambda one: predicted(one.found.count, assumed).seconds.mid,
        "roofline of the same peak and bandwidth": lambda one: roofline(one, machine),
        f"one efficiency for all: {percent(efficiency)}, fitted here": lambda one: roofline(one, machine, efficiency),
        "70 % of the roofline, 7 µs a kernel": lambda one: roofline(one, machine, SHARE, LAUNCH_S),
    }  # fmt: skip
    strays = [stray for one in judged for stray in one.run.strays]
    apart = [one.halves for one in judged if one.halves is not None]
    rows = [
        of_judged("seqcost predict", judged),
        error_row("floor: one process beside all others of its job", strays),
        error_row("floor: half of the processes beside the other half", apart),
    ]
    for name, way in ways.items():
        ratios = [way(one) / one.seconds for one in judged]
        rows.append(error_row(name, [abs(ratio - 1) for ratio in ratios], ratios))
    return Table.of("Time, by what is predicted with", ("<", *ERRORS), rows, f"{GOALS}.")


def floors(folder: Folder) -> Table:
    """How far a further process strays under each correction."""
    rows = [error_row(f"{way}{' (taken)' * (way == folder.chosen)}", folder.strays(way))[:-1] for way in CORRECTIONS]
    return Table.of(
        "The floor, by what corrects for the moment", ("<ratio of the reference kernels", *ERRORS[:-1]), rows
    )


def split(judged: Sequence[Judged]) -> Table:
    """By phase, width, length, what bounds, family."""

    def groups() -> Iterator[tuple[str, list[Judged]]]:
        for phase in PHASES:
            yield phase, [one for one in judged if one.job.phase == phase]
        for D in WIDTHS:
            yield f"D {D}", [one for one in judged if one.group.D == D]
        for T in LENGTHS:
            yield f"T {T}", [one for one in judged if one.job.T == T]
        for part in ("kernels", "calls", "fresh memory"):
            yield f"mostly {part}", [one for one in judged if most(one) == part]
        for family in dict.fromkeys(one.group.family for one in judged):
            yield family, [one for one in judged if one.group.family == family]

    return Table.of("seqcost, by kind of job", ("<", *ERRORS), [of_judged(*group) for group in groups()])


def most(one: Judged) -> str:
    """The largest part of a prediction."""
    timed = one.found.timed
    parts = {"kernels": timed.device_s, "calls": timed.host_s, "fresh memory": timed.pages_s}
    return max(parts, key=parts.__getitem__)


def by_target(judged: Sequence[Judged]) -> Table:
    """The median error of each, by phase."""
    rows = []
    for name in dict.fromkeys(one.target for one in judged):
        of = [one for one in judged if one.target == name]
        cells = [[abs(one.error) for one in of if one.job.phase == phase] for phase in PHASES]
        rows.append((*of_judged(name, of), *(percent(statistics.median(c)) if c else "–" for c in cells)))
    return Table.of("seqcost, by target", ("<", *ERRORS, *(f"median, {phase}" for phase in PHASES)), rows)


def worst(judged: Sequence[Judged]) -> Table:
    """The jobs that stray most, by their factor."""
    ordered = sorted(judged, key=lambda one: -abs(math.log1p(one.error)))[:WORST]
    rows = [
        (str(one), seconds(one.seconds), seconds(one.mid), f"{1 + one.error:.2f}", most(one),
         "yes" if one.seconds in one.found.seconds else "no")
        for one in ordered
    ]  # fmt: skip
    headings = ("<job", "measured", "predicted", "predicted / measured", "<mostly", "<in its interval")
    return Table.of(f"The {WORST} that stray most", headings, rows)


def wilson(part: int, whole: int) -> Interval:
    """The 90 % interval of a share, by E. B. Wilson."""
    z, p = NINETY, part / whole
    middle, half = p + z * z / (2 * whole), z * math.sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole))
    return Interval(*((middle + side * half) / (1 + z * z / whole) for side in (-1, 0, 1)))


def coverage(judged: Sequence[Judged]) -> str:
    """How often intervals hold what was measured."""
    held = sum(one.seconds in one.found.seconds for one in judged)
    single = [run.wall_s[0] in one.found.seconds for one in judged for run in one.run.runs]
    found = wilson(held, len(judged))
    widths = [one.found.seconds.high / one.found.seconds.low for one in judged]
    return (
        f"**Intervals.** The 90 % intervals hold {share(held, len(judged))} of {len(judged):,} jobs (90 % sure: "
        f"{percent(found.low)} to {percent(found.high)}; goal 86 to 94 %) and {share(sum(single), len(single))} of "
        f"single processes. From low to high they span a factor of {statistics.median(widths):.2f} at the median."
    )


def recalibrated(judged: Sequence[Judged], machines: Sequence[Machine]) -> str:
    """Whether a prediction stays in its interval when the machine is calibrated anew."""
    if len(machines) < 2:
        return "**Calibrated again.** Not done: there is one calibration."
    leaves = pairs = 0
    spreads, outside = [], set()
    for one in judged:
        found = [predicted(one.found.count, machine, one.beside).seconds for machine in machines]
        for k, interval in enumerate(found):
            others = [other.mid for j, other in enumerate(found) if j != k]
            left = sum(mid not in interval for mid in others)
            leaves, pairs = leaves + left, pairs + len(others)
            if left:
                outside.add(str(one))
        spreads.append(max(f.mid for f in found) / min(f.mid for f in found) - 1)
    return (
        f"**Calibrated again.** Of {len(machines)} calibrations each predicts every job; {leaves:,} of {pairs:,} times "
        f"a prediction of one lies outside the interval of another ({len(outside)} jobs; goal none). The largest of a "
        f"job is {percent(statistics.median(spreads))} above the smallest at the median, "
        f"{percent(quantile(spreads, 0.9))} at the 90th percentile, {percent(max(spreads))} at most."
    )


def counted(launches: dict[str, tuple[int, int]]) -> str:
    """Launches by formula and traced."""
    unequal = [
        f"{name}: {formula:,} and {traced:,}" for name, (formula, traced) in launches.items() if formula != traced
    ]
    named = f" Not equal: {'; '.join(unequal)}." if unequal else ""
    return (
        f"**Launches.** By formula and traced they are equal in {len(launches) - len(unequal)} of {len(launches)} "
        f"cases: every target of the catalogue at both widths, forward and training step.{named}"
    )


def memory(judged: Sequence[Judged]) -> str:
    """Peaks counted and allocated."""
    known = [(abs(one.memory_error), str(one)) for one in judged if one.memory_error is not None]
    if not known:
        return "**Memory.** No peak was recorded."
    beyond = sorted((found for found in known if found[0] > PEAK), reverse=True)
    named = "; ".join(f"{name} {percent(error)}" for error, name in beyond[:WORST])
    return (
        f"**Memory.** Predicted peaks beside those that PyTorch allocated: {sum(not error for error, _ in known):,} of "
        f"{len(known):,} equal to the byte, {len(beyond)} more than 0.5 % off (goal none)"
        f"{', the largest: ' if named else ''}{named}."
    )


def left_out(folder: Folder, judged: Sequence[Judged]) -> str:
    """What did not run."""
    by_status: dict[str, set[str]] = {"long": set(), "failed": set()}
    for line in folder.lines:
        if line["status"] != "ok":
            by_status[line["status"]].add(f"{line['name']}, D {line['D']}, {line['phase']}, T {line['T']}")
    ran = {line["key"] for line in folder.lines if line["status"] == "ok"}
    said = (
        f"**Left out.** {len(ran):,} jobs ran; {len(by_status['long'])} were left out because a run takes more than 4 s"
    )
    failed = {f"{line['name']} ({line['reason']})" for line in folder.lines if line["status"] == "failed"}
    unpredicted = len(ran) - len(judged)
    said += f", {unpredicted} have no prediction" if unpredicted else ""
    return f"{said}, {len(by_status['failed'])} failed{': ' if failed else ''}{'; '.join(sorted(failed))}."


def write_errors(path: Path, judged: Sequence[Judged], machine: Machine) -> None:
    """One line a job, for whoever improves the model."""
    with path.open("w") as file:
        for one in judged:
            timed = one.found.timed
            facts = {
                "name": one.target, "D": one.group.D, "family": one.group.family, "phase": one.job.phase,
                "T": one.job.T, "key": one.job.key, "error": one.error, "measured_s": one.seconds,
                "interval_s": one.run.interval_s, "low": timed.seconds.low, "mid": timed.seconds.mid,
                "high": timed.seconds.high, "device_s": timed.device_s, "host_s": timed.host_s,
                "pages_s": timed.pages_s, "floor": statistics.median(one.run.strays) if one.run.strays else None,
                "launches": sum(float(row.launches) for row in one.found.count.rows),
                "roofline_s": roofline(one, machine), "rung": one.found.count.rung,
                "peak_bytes": one.found.count.peak_bytes, "allocated_bytes": one.run.peak_allocated_bytes,
            }  # fmt: skip
            file.write(json.dumps(facts) + "\n")
