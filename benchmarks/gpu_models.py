"""Whole layers and models on a CUDA device: records that predictions are judged by, and no profile is made of.

    python benchmarks/gpu_models.py FOLDER [--device cuda] [--seconds 300] [--tag FIRST] [--only NAME] [--kernels]

Programs, clock and peak are those of `seqcost.measure`, but for this: all jobs run in one process, whose start would
take longer than they do. The caches and workspaces of PyTorch are emptied between them. Writes models_TAG.jsonl: the
environment first, then one line for each job.
"""

import argparse
import contextlib
import gc
import json
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import torch
from gpu_kernels import about, spread

from seqcost.formulas.catalogue import configure
from seqcost.layers import use_kernels
from seqcost.measure.peak import peak_allocated_bytes
from seqcost.measure.repeat import repeat
from seqcost.measure.runner import LOADER
from seqcost.records import Job

BUDGET_S = 0.25  # of a job's repetitions
LONGEST_S = 1.5  # of one run: what is longer is not run at longer lengths
PROFILED_S = 0.04  # of a run whose kernels are counted
KEPT = 12  # repetitions that a record keeps, evenly drawn
DTYPES = ("bfloat16", "float32")
LAYERS = (
    "attention-layer", "window-layer", "bigbird-layer", "etc-layer", "conv-layer", "rnn-layer", "lstm-layer",
    "gru-layer", "lsh-layer", "ttt-linear-layer", "ttt-mlp-layer", "deltanet-layer", "gated-deltanet-layer",
    "mingru-layer", "rg-lru-layer", "minlstm-layer", "aaren-layer", "s4d-layer", "mamba-layer", "mamba2-layer",
    "linear-attention-layer", "supra-layer", "retnet-layer", "gla-layer", "feed-forward", "norm",
    "transformer-block",
)  # fmt: skip
MODELS = (
    "transformer", "encoder", "encoder-decoder", "rnn", "lstm", "gru", "reformer", "hybrid", "window", "mingru",
    "rg-lru", "minlstm", "aaren", "s4d", "mamba", "mamba2", "linear-attention", "retnet", "gla", "deltanet",
    "gated-deltanet", "ttt-linear",
)  # fmt: skip
PRESETS = {  # sequences, lengths
    "gpt2": (4, (256, 1024)), "gpt2-xl": (1, (1024,)), "bert-base": (8, (128, 512)), "llama-2-7b": (1, (512, 2048)),
    "mistral-7b": (1, (2048,)), "mamba-130m": (2, (512, 2048)), "mamba-790m": (1, (1024,)),
    "transformer-base": (8, (128, 512)), "vit-base-16": (16, (196,)), "dit-xl-2": (4, (256,)),
}  # fmt: skip
CHECKED_OUT = {  # model types of the transformers package, settings, sequences, lengths
    "gpt2": ({}, 4, (512,)), "bert": ({}, 8, (512,)), "roberta": ({}, 8, (256,)), "opt": ({}, 2, (1024,)),
    "gpt_neox": ({"num_hidden_layers": 12, "hidden_size": 1024, "num_attention_heads": 16, "intermediate_size": 4096},
                 2, (1024,)),
    "llama": ({"num_hidden_layers": 8, "hidden_size": 2048, "num_attention_heads": 32, "num_key_value_heads": 8,
               "intermediate_size": 8192}, 2, (512, 2048)),
    "qwen3": ({"num_hidden_layers": 28, "hidden_size": 1024, "num_attention_heads": 16, "num_key_value_heads": 8,
               "intermediate_size": 3072, "head_dim": 128}, 1, (1024,)),
    "gemma2": ({"num_hidden_layers": 8, "hidden_size": 2304, "num_attention_heads": 8, "num_key_value_heads": 4,
                "intermediate_size": 9216, "vocab_size": 32000}, 1, (1024,)),
    "mamba": ({"num_hidden_layers": 8}, 1, (256,)), "t5": ({}, 4, (512,)), "vit": ({}, 16, (197,)),
    "phi": ({"num_hidden_layers": 8}, 1, (1024,)),
}  # fmt: skip


def every_job(device: str) -> Iterator[Job]:
    """Layers at two widths and three lengths; models, presets, other people's models at one or two."""
    for name in LAYERS:
        for D, T, dtypes in (
            (512, 512, DTYPES[:1]), (512, 2048, DTYPES), (512, 8192, DTYPES[:1]), (2048, 2048, DTYPES[:1]),
        ):  # fmt: skip
            yield from _jobs(_own(name, {"D": D}), _phases(name, decodes=T == 2048), 4, T, device, dtypes)
    for name in MODELS:
        sizes = {"L": 4, "U": 16384}
        yield from _jobs(_own(name, sizes | {"D": 512}), _phases(name), 4, 512, device, DTYPES)
        yield from _jobs(_own(name, sizes | {"D": 512}), _phases(name, decodes=True), 4, 2048, device, DTYPES[:1])
        yield from _jobs(_own(name, sizes | {"D": 1024}), _phases(name), 2, 2048, device, DTYPES[:1])
    for name, (B, lengths) in PRESETS.items():
        large = name in ("llama-2-7b", "mistral-7b")
        phases = [phase for phase in _phases(name, decodes=True) if not (large and phase == "train")]
        for T in lengths:
            yield from _jobs(_own(name, {}), phases, B, T, device, DTYPES[:1] if large else DTYPES)
    for kind, (settings, B, lengths) in CHECKED_OUT.items():
        spec = {"kind": "hugging-face", "name": f"hf:{kind}", "config": {"model_type": kind}, "sizes": settings}
        phases = ["forward", "train"] if kind in ("bert", "roberta", "vit", "t5") else ["forward", "train", "decode"]
        for T in lengths:
            yield from _jobs(spec, phases, B, T, device, DTYPES)


def _phases(name: str, *, decodes: bool = False) -> list[str]:
    return ["forward", "train", *(["decode"] if decodes and configure(name).decodes else [])]


def _own(name: str, sizes: dict[str, int]) -> dict[str, Any]:
    return {"kind": "catalogue", "name": name, "sizes": sizes}


def _jobs(
    spec: dict[str, Any], phases: list[str], B: int, T: int, device: str, dtypes: tuple[str, ...]
) -> Iterator[Job]:
    for phase, dtype in product(phases, dtypes):
        yield Job(target=spec, phase=phase, B=B, T=T, dtype=dtype, device=device, threads=torch.get_num_threads())


def run_of(job: Job, device: torch.device) -> dict[str, Any]:
    """Times, peaks and kernels of one job."""
    emptied(device)
    held = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    program = loaded(job, device)

    def once() -> float:
        wait(device)
        start_s = time.perf_counter()
        program.run()
        wait(device)
        return time.perf_counter() - start_s

    once()  # PyTorch loads a kernel when it is first called; no budget is to be judged by that
    wall_s, num_warmup = repeat(once, BUDGET_S)
    chosen = [wall_s[i * len(wall_s) // KEPT] for i in range(KEPT)] if len(wall_s) > KEPT else wall_s
    found = {"status": "ok", "wall_s": [float(f"{s:.5g}") for s in chosen], "num_repetitions": len(wall_s),
             "num_warmup": num_warmup}  # fmt: skip
    resident = sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes()
                    for t in program.lasting_tensors()}.values())  # fmt: skip
    found["resident_bytes"] = resident
    if device.type == "cuda":
        torch.cuda.empty_cache()
        found["peak_allocated_bytes"] = peak_allocated_bytes(program.run_once, (), device) - held
        found["peak_reserved_bytes"] = torch.cuda.max_memory_reserved(device)
    return found


def loaded(job: Job, device: torch.device) -> Any:
    """The program of a job; its weights are drawn on the device, which is a hundred times faster."""
    module, _, name = LOADER.partition(":")
    with torch.device(device):
        return getattr(import_module(module), name)(
            job.target, phase=job.phase, B=job.B, T=job.T, dtype=job.dtype, device=job.device
        )


def busy(job: Job, device: torch.device) -> dict[str, Any]:
    """Kernels that a run launches and the seconds that the device works on them; nothing of a long run."""
    emptied(device)
    program = loaded(job, device)
    program.run()
    wait(device)
    start_s = time.perf_counter()
    program.run()
    wait(device)
    if time.perf_counter() - start_s > PROFILED_S:
        return {"status": "long"}
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        program.run()
        wait(device)
    events = profile.profiler.kineto_results.events()  # type: ignore[union-attr]
    kernels = [event for event in events if event.device_type() == torch.autograd.DeviceType.CUDA]
    busy_s = sum(event.duration_ns() for event in kernels) / 1e9
    return {"status": "ok", "kernels": len(kernels), "busy_s": float(f"{busy_s:.5g}")}


def emptied(device: torch.device) -> None:
    """Nothing left of the job before, as in a process of its own; what stays is looked through no more."""
    gc.collect()
    gc.freeze()
    if device.type == "cuda":
        wait(device)
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()


def wait(device: torch.device) -> None:
    """Until the device has done what was queued."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Each job that the seconds allow, in an order that leaves an even sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--tag", default="first")
    parser.add_argument("--only", default="")
    parser.add_argument("--kernels", action="store_true", help="count kernels in place of timing")
    given = parser.parse_args()
    device, end_s = torch.device(given.device), time.monotonic() + given.seconds
    jobs = [job for job in spread(list(every_job(given.device))) if given.only in str(job.target)]
    too_long: dict[tuple[str, str], int] = {}
    use_kernels("torch")
    gc.disable()
    with (given.folder / f"models_{given.tag}.jsonl").open("w") as file:
        file.write(json.dumps(about(device)) + "\n")
        for i, job in enumerate(jobs):
            if time.monotonic() > end_s:
                print(f"{len(jobs) - i} of {len(jobs)} jobs left out for want of time")
                break
            kind = (json.dumps(job.target, sort_keys=True), job.phase)
            if too_long.get(kind, math.inf) <= job.T:
                continue
            row = {"target": job.target, "phase": job.phase, "B": job.B, "T": job.T, "dtype": job.dtype}
            try:
                found = busy(job, device) if given.kernels else run_of(job, device)
                if found["status"] == "long" or max(found.get("wall_s", [0])) > LONGEST_S:
                    too_long[kind] = job.T
            except Exception as error:  # noqa: BLE001 - whatever a model raises is a result
                print(f"{job}: {type(error).__name__}: {str(error).splitlines()[0][:150]}")
                found = {"status": "failed", "reason": f"{type(error).__name__}: {str(error)[:200]}"}
                with contextlib.suppress(RuntimeError):
                    wait(device)
            row |= {"at": datetime.now(UTC).isoformat(timespec="seconds"), **found}
            file.write(json.dumps(row) + "\n")
            file.flush()


if __name__ == "__main__":
    main()
