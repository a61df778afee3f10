"""The page of the measurements in data/h100: what a GPU does at most, and how its kernels and models stray from that.

    python benchmarks/h100.py

Reads what gpu_kernels.py, gpu_models.py and gpu_launches.py wrote on the device, and gpu_peaks.py anywhere; measures
nothing itself.
"""

import csv
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from seqcost.report.table import Table
from seqcost.writing import write_text

HERE = Path(__file__).parent
DATA = HERE / "data" / "h100"
FORMATS = (("bfloat16", "0"), ("float16", "0"), ("float32", "1"), ("float32", "0"))
HEADS = ("bfloat16", "float16", "TF32", "float32")
Row = dict[str, Any]


def kernels() -> list[Row]:
    """The first run of the table: sizes as numbers, seconds of the device."""
    with (DATA / "kernels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["device_s"]]
    for row in rows:
        row["z"] = tuple(map(int, row["sizes"].split()))
        for name in ("device_s", "called_s", "flops", "bytes"):
            row[name] = float(row[name])
    return rows


def text(value: float | None, digits: int = 3) -> str:
    """So many digits; a dash where nothing was measured."""
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.{digits}g}"


def over(rows: list[Row], keep: Callable[[Row], bool], value: Callable[[Row], float]) -> dict[Any, dict[Any, float]]:
    """Values of some rows by sizes and format."""
    found: dict[Any, dict[Any, float]] = defaultdict(dict)
    for row in rows:
        if keep(row) and row["run"] == "1":
            found[row["z"]][row["dtype"], row["tf32"]] = value(row)
    return found


def tflops(row: Row) -> float:
    """10¹² FLOPs per second."""
    return float(row["flops"] / row["device_s"] / 1e12)


def gigabytes(row: Row) -> float:
    """10⁹ bytes per second."""
    return float(row["bytes"] / row["device_s"] / 1e9)


def products(rows: list[Row]) -> list[Table]:
    """Squares, and thin products over one weight."""
    linear = [row for row in rows if row["operator"] == "linear"]
    squares = over(linear, lambda row: len(set(row["z"])) == 1 and row["cold"] == "0", tflops)
    thin = over(linear, lambda row: row["z"][1:] == (4096, 4096) and (row["cold"] == "1") == (row["z"][0] <= 1024),
                tflops)  # fmt: skip
    bandwidth = over(linear, lambda row: row["z"][1:] == (4096, 4096) and row["cold"] == "1", gigabytes)
    return [
        Table.of("Square products, TFLOP/s", ("n", *HEADS), [
            (f"{z[0]:,}", *(text(of.get(f)) for f in FORMATS)) for z, of in sorted(squares.items())
        ], "x [n,n] @ Wᵀ [n,n], back to back on the same operands."),
        Table.of("m tokens through a weight of 4,096 × 4,096, TFLOP/s", ("m", *HEADS, "bfloat16, GB/s"), [
            (f"{z[0]:,}", *(text(of.get(f)) for f in FORMATS), text(bandwidth.get(z, {}).get(FORMATS[0])))
            for z, of in sorted(thin.items())
        ], "Up to 1,024 tokens the weights alternate among so many copies that the cache holds none of them."),
    ]  # fmt: skip


def streaming(rows: list[Row]) -> Table:
    """Bandwidth over the working set."""
    names = ("copy", "add", "mul", "exp", "gelu", "fill")
    found = {
        name: {row["bytes"]: gigabytes(row) for row in rows
               if row["operator"] == name and row["dtype"] == "bfloat16" and row["run"] == "1"}
        for name in names
    }  # fmt: skip
    tensors = sorted({row["z"][0] * 2 for row in rows if row["operator"] in names and row["dtype"] == "bfloat16"})
    passes = {"add": 3, "mul": 3, "fill": 1}
    lines = [(scaled(size), *(text(found[name].get(size * passes.get(name, 2))) for name in names)) for size in tensors]
    note = "Bytes read and written in a second, bfloat16; the tensors together are two or three times the size named."
    return Table.of("Streaming kernels, GB/s", ("one tensor", *names), lines, note)


def attention(rows: list[Row]) -> list[Table]:
    """Fused attention over the length."""
    tables = []
    for B, H, K in ((8, 12, 64), (4, 32, 128)):
        of = [row for row in rows if row["kernel"] == "attention" and row["z"][:2] == (B, H) and row["z"][4] == K]
        of = [row for row in of if row["z"][2] == row["z"][3] and row["run"] == "1"]
        lines = []
        for T in sorted({row["z"][2] for row in of}):
            cells = []
            for dtype in ("bfloat16", "float32"):
                for direction in ("forward", "backward"):
                    for causal in "01":
                        found = [row for row in of if (row["z"][2], row["dtype"], row["direction"], row["causal"])
                                 == (T, dtype, direction, causal)]  # fmt: skip
                        cells.append(text(tflops(found[0]) if found else None))
            lines.append((f"{T:,}", *cells))
        heads = [f"{d} {w}{c}" for d in ("bf16", "fp32") for w in ("fwd", "bwd") for c in ("", " causal")]
        note = "FLOPs of forward: 4·B·H·T²·K, causal half of it; backward two and a half times as many."
        tables.append(Table.of(f"Fused attention, B {B}, H {H}, K {K}, TFLOP/s", ("T", *heads), lines, note))
    return tables


def recurrences(rows: list[Row]) -> Table:
    """The LSTM of cuDNN, a step."""
    lines = []
    cells = {(row["z"], row["dtype"], row["direction"]): row["device_s"] for row in rows
             if row["operator"] == "lstm" and row["run"] == "1"}  # fmt: skip
    for z in sorted({key[0] for key in cells}):
        if z[0] in (128, 1024):
            times = [cells.get((z, dtype, way)) for dtype in ("bfloat16", "float32") for way in ("forward", "backward")]
            lines.append((f"{z[0]:,}", str(z[1]), f"{z[2]:,}", *(text(t and t / z[0] * 1e6) for t in times)))
    heads = ("steps", "sequences", "width", "bf16 forward", "bf16 backward", "TF32 forward", "TF32 backward")
    return Table.of("LSTM of cuDNN, µs for each step", heads, lines)


def calls(machine: Row) -> list[Table]:
    """What a call from Python costs, and an empty kernel."""
    lines = [
        (name, *(text(of.get(way) and of[way] * 1e6) for way in ("plain_s", "recording_s", "backward_s")))
        for name, of in machine["run 2"]["calls"].items()
    ]
    empty = [(run, *(text(of["empty_kernel"][way] * 1e6) for way in ("device_s", "called_s", "alone_s")))
             for run, of in machine.items()]  # fmt: skip
    return [
        Table.of("An empty kernel, µs", ("<", "by the device, in a row", "called in a row", "called alone, waited for"),
                 empty, "Run 1 shared the processor with a compiler in its first 40 s, run 2 with nothing."),
        Table.of("What a caller waits for a call on next to nothing, µs",
                 ("<call", "without gradients", "recording them", "backward alone"), lines,
                 "Backward alone is mostly the start of the engine of autograd."),
    ]  # fmt: skip


def memory(machine: Row) -> list[Table]:
    """Rounding, workspaces, transfers."""
    of = machine["run 2"]
    rounding = [(f"{row['asked_bytes']:,}", f"{row['allocated_bytes']:,}", f"{row['reserved_bytes']:,}")
                for row in of["rounding"]]  # fmt: skip
    spaces = [(name, *(scaled(row[key]) for key in ("allocated_bytes", "device_bytes")))
              for name, row in of["workspaces"].items() if any(row.values())]  # fmt: skip
    moves = [(name.rpartition(" ")[0].replace("_", " "), scaled(row["bytes"]), text(row["s"] * 1e6),
              text(row["bytes"] / row["s"] / 1e9)) for name, row in of["transfers"].items()]  # fmt: skip
    fresh = [(scaled(row["bytes"]), text(row["driver_s"] * 1e6), text(row["kept_s"] * 1e6))
             for row in of["fresh_memory"].values()]  # fmt: skip
    return [
        Table.of("The allocator, bytes", ("asked for", "given", "reserved anew"), rounding,
                 "0 reserved: a segment that is there already has room."),
        Table.of("What a first call leaves behind", ("<call", "in the allocator", "on the device"), spaces),
        Table.of("An allocation, µs", ("size", "from the driver", "kept by the allocator"), fresh),
        Table.of("Copies between processor and device", ("<way", "size", "µs", "GB/s"), moves),
    ]  # fmt: skip


def repeated(rows: list[Row]) -> Table:
    """How far the same case strays between two runs."""
    keys = ("operator", "direction", "dtype", "tf32", "causal", "cold", "z")
    by: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        by[tuple(row[key] for key in keys)].append(row)
    pairs = [pair for pair in by.values() if len(pair) == 2]
    lines = []
    for name, key in (("kernels, by the device", "device_s"), ("kernels, called from Python", "called_s")):
        lines.append((name, str(len(pairs)), *strays([[row[key] for row in pair] for pair in pairs])))
    times: dict[str, list[list[float]]] = defaultdict(list)
    for runs in models().values():
        medians = [statistics.median(run["wall_s"]) for run in runs if run["run"] > 1]
        if len(medians) == 2:
            size = "10 ms and more" if min(medians) >= 1e-2 else "1 to 10 ms" if min(medians) >= 1e-3 else "below 1 ms"
            times[f"layers and models, {size}"].append(medians)
    lines += [(name, str(len(found)), *strays(found)) for name, found in sorted(times.items())]
    note = (
        "Relative difference of two medians, taken three minutes (models) or twenty (kernels) apart. What a processor "
        "has to launch strays with the processor: no prediction of such a time can be judged more finely than that."
    )
    return Table.of("The same again: the floor", ("<what", "pairs", "median %", "p90 %"), lines, note)


def strays(pairs: Sequence[Sequence[float]]) -> tuple[str, str]:
    """Median and 90th percentile of relative differences, in per cent."""
    found = sorted(abs(b / a - 1) * 100 for a, b in pairs)
    return text(statistics.median(found), 2), text(found[int(0.9 * len(found))], 2)


def models() -> dict[Any, list[Row]]:
    """Runs of each job."""
    by: dict[Any, list[Row]] = defaultdict(list)
    for line in (DATA / "models.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["status"] == "ok":
            sizes = " ".join(f"{k} {v}" for k, v in (row["target"].get("sizes") or {}).items() if len(k) == 1)
            by[row["target"]["name"], sizes, row["phase"], row["B"], row["T"], row["dtype"]].append(row)
    return by


def whole(found: dict[Any, list[Row]]) -> Table:
    """Models and layers in bfloat16."""
    lines = []
    for (name, sizes, phase, B, T, dtype), runs in sorted(found.items()):
        if dtype == "bfloat16" and (T >= 1024 or "layer" not in name):
            medians = [statistics.median(run["wall_s"]) for run in runs]
            row = runs[-1]
            lines.append((name, sizes, phase, str(B), f"{T:,}", " / ".join(text(m * 1e3) for m in medians),
                          scaled(row["peak_allocated_bytes"]), scaled(row["peak_reserved_bytes"])))  # fmt: skip
    heads = ("<target", "<sizes", "<phase", "B", "T", "ms, each run", "peak allocated", "peak reserved")
    return Table.of("Layers and models, bfloat16", heads, lines, "All jobs, float32 too: data/h100/models.jsonl.")


def peaks() -> Table:
    """A trace on the CPU, the workspaces of cuBLAS added, beside the peak that was measured."""
    with (DATA / "peaks.csv").open() as file:
        rows = [(row["phase"], int(row["traced_bytes"]), int(row["measured_bytes"])) for row in csv.DictReader(file)]
    lines = []
    for phase, kept in (("forward", 33), ("decode", 33), ("train", 65)):
        pairs = [(traced, measured) for name, traced, measured in rows if name == phase]
        beyond = statistics.median((measured - traced) / 2**20 for traced, measured in pairs)
        off = [(measured, traced + kept * 2**20) for traced, measured in pairs]
        lines.append((phase, str(len(pairs)), f"{beyond:.1f}", str(kept), *strays(off)))
    note = (
        "cuBLAS keeps 32 MiB for each thread that multiplies, in training a second one goes back; 1 MiB is cuBLASLt's. "
        "Off most: what multiplies nothing with cuBLAS, norms and convolutions, to which nothing should be added; the "
        "recurrences of cuDNN; FFTs; and steps of hf:roberta (64 %), window and rg-lru (10 %), which hold less than "
        "on the CPU. Each job: data/h100/peaks.csv, by gpu_peaks.py."
    )
    heads = ("<phase", "jobs", "beyond the trace, median MiB", "added, MiB", "then off, median %", "p90 %")
    return Table.of("Peak memory: a trace on the CPU and the workspaces, against the device", heads, lines, note)


def launched() -> Table:
    """Launches beside operators."""
    lines = []
    for name, of in json.loads((DATA / "launches.json").read_text()).items():
        if "launches" in of:
            calls = sum(row["calls"] for row in of["operators"])
            lines.append((name, f"{calls:,}", f"{of['launches']:,}", f"{of['trace']['depth']:,}",
                          text(of["busy_s"] * 1e3), scaled(of["trace"]["peak_bytes"])))  # fmt: skip
    heads = ("<program", "operators that launch", "launches", "depth of the trace", "ms of kernels", "traced peak")
    note = "Launches include copies and fills of memory. Operators with their kernels: data/h100/launches.json."
    return Table.of("Launches of whole models", heads, lines, note)


def scaled(size: float) -> str:
    """Bytes in a unit that fits."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.3g} {unit}" if size < 1000 * factor else f"{size / factor:,.0f} {unit}"
    return f"{size:.0f} B"


def main() -> None:
    """The page."""
    rows, machine = kernels(), json.loads((DATA / "machine.json").read_text())
    first = machine["run 1"]
    parts = [
        "# NVIDIA H100 80GB HBM3",
        f"Measured on {first['date'][:10]}: {first['device']}, driver {first['driver_version']}, "
        f"{first['multiprocessors']} multiprocessors, {scaled(first['l2_bytes'])} of L2, "
        f"{scaled(first['memory_bytes'])} of memory, power limit {first['power.limit']}, clocks up to "
        f"{first['clocks.max.sm']} (processors) and {first['clocks.max.mem']} (memory); torch "
        f"{first['environment']['torch_version']}, CUDA {first['cuda']}, cuDNN {first['cudnn']}; "
        f"{first['environment']['num_cores']} cores of an {first['environment']['cpu_model']}.",
        f"{len(rows):,} cases of single kernels and {sum(map(len, models().values())):,} runs of whole layers and "
        "models. A kernel's time is that of replays of a CUDA graph, without Python; medians of seven. Models are "
        "timed from outside, wait included, in their PyTorch form, several jobs in one process.",
    ]
    tables = [*products(rows), streaming(rows), *attention(rows), recurrences(rows), *calls(machine), *memory(machine),
              repeated(rows), peaks(), launched(), whole(models())]  # fmt: skip
    for table in tables:
        parts += [f"## {table.title}", table.to_markdown(), *([table.note] if table.note else [])]
    parts.append("Made by `python benchmarks/h100.py` from data/h100.")
    write_text(HERE / "h100.md", "\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
