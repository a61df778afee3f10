"""Single kernels on a CUDA device (or the CPU): the measurements that a profile of the machine is made of.

    python benchmarks/gpu_kernels.py FOLDER [--device cuda] [--seconds 300] [--every 1] [--tag FIRST]

Writes kernels_TAG.csv, one row for each case of `seqcost.measure.kernels`, and machine_TAG.json: device, versions and
what belongs to no kernel. Cases come in an order that leaves an even sample where the seconds run out.
"""

import argparse
import csv
import gc
import json
import math
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from seqcost.algebra.work import Kernel
from seqcost.measure.kernels import Case, facts
from seqcost.measure.kernels.calls import call_of
from seqcost.measure.kernels.clock import middle, quiet, timed
from seqcost.measure.kernels.others import others
from seqcost.measure.kernels.products import fits, products
from seqcost.records import this_environment

MOST_COPIES = 32
PROFILED_SHARE = 0.2  # of the seconds, for the names of the kernels
CLEAN_EVERY = 40
UNCAPTURED = "embedding_backward"  # it asks the device how many tokens differ
COLUMNS = (
    "kernel", "operator", "direction", "dtype", "tf32", "causal", "cold", "sizes", "flops", "bytes",
    "device_s", "device_low_s", "device_high_s", "called_s", "called_low_s", "called_high_s", "launches", "kernels",
)  # fmt: skip


def every_case() -> list[Case]:
    """bfloat16 and float32 whole, float16 and TF32 in part."""
    cases = [
        *products("bfloat16"), *others("bfloat16"), *products("float32"), *others("float32"),
        *products("float32", tf32=True, few=True), *products("float16", few=True), *others("float16", few=True),
    ]  # fmt: skip
    return [case for case in cases if fits(case) or case.kernel not in (Kernel.PRODUCT, Kernel.BATCHED_PRODUCT)]


def spread(cases: list[Case]) -> list[Case]:
    """The same in steps of the golden ratio: any beginning is a sample of all."""
    step = int(len(cases) * 0.618)
    while math.gcd(step, len(cases)) > 1:
        step += 1
    return [cases[i * step % len(cases)] for i in range(len(cases))]


def measured(case: Case, device: torch.device) -> dict[str, Any]:
    """One row of the table."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.tf32
    copies = min(max(case.pool // case.bytes, 1), MOST_COPIES) if case.pool else 1
    calls = [call_of(case, device) for _ in range(copies)]
    found = timed(calls, device, captured=not case.operator.startswith(UNCAPTURED))
    device_s = middle(found.device_s) if found.device_s else ("",) * 3
    called_s = middle(found.called_s)
    row = {"kernel": case.kernel.value, "operator": case.operator, "direction": case.direction.value,
           "dtype": case.dtype, "tf32": int(case.tf32), "causal": int(case.causal), "cold": int(case.pool > 0),
           "sizes": " ".join(map(str, case.sizes)), "flops": case.flops, "bytes": case.bytes,
           "launches": found.launches}  # fmt: skip
    for name, values in (("device", device_s), ("called", called_s)):
        for key, value in zip(("low_s", "s", "high_s"), values, strict=True):
            row[f"{name}_{key}"] = value if value == "" else f"{value:.4g}"
    return row


def kernels_of(case: Case, device: torch.device) -> list[str]:
    """Names of what one call launches on the device, and how often."""
    torch.backends.cuda.matmul.allow_tf32 = case.tf32
    call = call_of(case, device)
    call()
    torch.cuda.synchronize(device)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        call()
        torch.cuda.synchronize(device)
    events = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    names = [event.name() for event in events if event.device_type() == torch.autograd.DeviceType.CUDA]
    return [f"{name} ×{times}" if times > 1 else name for name, times in Counter(map(shortened, names)).most_common(8)]


def shortened(name: str, most: int = 64) -> str:
    """The beginning of a kernel's name, up to a word that is whole."""
    name = name.replace("void ", "").replace(";", ",")
    return name if len(name) < most else re.sub(r"\W+\w*$", "", name[:most])


def each(
    cases: list[Case], seconds: float, device: torch.device, of: Callable[[Case, torch.device], Any]
) -> Iterator[tuple[Case, Any]]:
    """Each case that the seconds allow, and what is found of it; one that cannot run is told and passed by."""
    end_s = time.monotonic() + seconds
    gc.disable()
    for i, case in enumerate(cases):
        if time.monotonic() > end_s:
            print(f"{len(cases) - i} of {len(cases)} cases left out for want of time")
            return
        try:
            yield case, of(case, device)
        except RuntimeError as error:
            print(f"not measured: {case}: {str(error).splitlines()[0][:120]}", flush=True)
        if i % CLEAN_EVERY == 0:
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()


def write(path: Path, found: dict[Case, dict[str, Any]]) -> None:
    """The table as a file."""
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, restval="")
        table.writeheader()
        table.writerows(found.values())


def about(device: torch.device) -> dict[str, Any]:
    """Machine and versions."""
    found: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": this_environment().to_dict(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        asked = "driver_version,clocks.max.sm,clocks.max.mem,clocks.sm,clocks.mem,power.limit,temperature.gpu"
        answer = subprocess.run(
            ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader"], capture_output=True, text=True, check=False
        )
        found |= {
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "multiprocessors": properties.multi_processor_count,
            "memory_bytes": properties.total_memory,
            "l2_bytes": properties.L2_cache_size,
            "capability": list(torch.cuda.get_device_capability(device)),
            **dict(zip(asked.split(","), answer.stdout.strip().split(", "), strict=False)),
        }
    return found


def main() -> None:
    """Facts first, since a workspace is taken once in a process; then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--tag", default="first")
    given = parser.parse_args()
    device = torch.device(given.device)
    machine = about(device)
    if device.type == "cuda":
        machine["workspaces"] = facts.workspaces(device)
        machine["rounding"] = list(facts.rounding(device))
        machine["fresh_memory"] = facts.fresh_memory(device)
        machine["transfers"] = facts.transfers(device)
    with quiet(device):
        machine["empty_kernel"] = facts.empty_kernel(device)
        machine["calls"] = facts.calls_from_python(device)
    path = given.folder / f"machine_{given.tag}.json"
    path.write_text(json.dumps(machine, indent=1) + "\n")
    found: dict[Case, dict[str, Any]] = {}
    table = given.folder / f"kernels_{given.tag}.csv"
    with quiet(device):
        for case, row in each(spread(every_case()[:: given.every]), given.seconds, device, measured):
            found[case] = row
            if len(found) % CLEAN_EVERY == 0:
                write(table, found)
        write(table, found)
        machine["after"] = about(device)
        path.write_text(json.dumps(machine, indent=1) + "\n")
        if device.type == "cuda":  # afterwards: a profiler that was there once slows every launch
            for case, names in each(list(found), PROFILED_SHARE * given.seconds, device, kernels_of):
                found[case]["kernels"] = "; ".join(names)
            write(table, found)


if __name__ == "__main__":
    main()
