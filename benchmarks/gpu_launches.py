"""Which kernels PyTorch's operators launch on a CUDA device for whole models, beside the operators that a trace counts.

    python benchmarks/gpu_launches.py FOLDER [--device cuda]

Writes launches.json: for each case the operators with how often they ran, the kernels that they launched, and the
seconds of those; and what a trace of the same program says of the same module.
"""

import argparse
import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import torch
from gpu_kernels import shortened
from gpu_models import emptied, loaded, wait

from seqcost import count
from seqcost.layers import use_kernels
from seqcost.records import Job

CASES = {
    "gpt2": {"kind": "catalogue", "name": "gpt2", "sizes": {}},
    "hf:gpt2": {"kind": "hugging-face", "name": "hf:gpt2", "config": {"model_type": "gpt2"}, "sizes": {}},
    "lstm": {"kind": "catalogue", "name": "lstm", "sizes": {"D": 512, "L": 2, "U": 1000}},
    "mamba-130m": {"kind": "catalogue", "name": "mamba-130m", "sizes": {}},
}
B, T = 2, 512


def launches(spec: dict[str, Any], phase: str, dtype: str, device: torch.device) -> dict[str, Any]:
    """One run by operators and kernels."""
    emptied(device)
    job = Job(target=spec, phase=phase, B=B, T=T, dtype=dtype, device=device.type)
    program = loaded(job, device)
    for _ in range(2):
        program.run()
    wait(device)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        program.run()
        wait(device)
    calls: Counter[str] = Counter()
    kernels: dict[str, Counter[str]] = defaultdict(Counter)
    seconds: Counter[str] = Counter()
    for event in profile.events():
        if event.name.startswith("aten::"):
            calls[event.name] += 1
        for kernel in event.kernels:
            kernels[event.name][shortened(kernel.name)] += 1
            seconds[event.name] += kernel.duration / 1e6
    return {
        "operators": [
            {
                "operator": name,
                "calls": calls[name],
                "seconds": float(f"{seconds[name]:.4g}"),
                "kernels": dict(kernels[name].most_common(6)),
                "launches": sum(kernels[name].values()),
            }
            for name in sorted(kernels, key=lambda name: -seconds[name])
        ],
        "launches": sum(sum(found.values()) for found in kernels.values()),
        "busy_s": float(f"{sum(seconds.values()):.4g}"),
        "trace": traced(program, phase),
    }


def traced(program: Any, phase: str) -> dict[str, Any]:
    """What a trace says of the module where it lives."""
    answer = count(program.module, phase=phase, length=T, batch=B).to_dict()
    return {key: answer.get(key) for key in ("flops", "pointwise", "bytes_moved", "peak_bytes", "depth", "rung")}


def main() -> None:
    """Every case in three phases and two formats."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    given = parser.parse_args()
    device, found = torch.device(given.device), {}
    use_kernels("torch")
    for name, spec in CASES.items():
        for phase in ("forward", "train", "decode"):
            for dtype in ("bfloat16", "float32"):
                key = f"{name}, {phase}, B {B}, T {T}, {dtype}"
                try:
                    found[key] = launches(spec, phase, dtype, device)
                except Exception as error:  # noqa: BLE001 - whatever a model raises is a result
                    found[key] = {"reason": f"{type(error).__name__}: {str(error)[:300]}"}
                (given.folder / "launches.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
