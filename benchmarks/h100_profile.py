"""The H100's profile that comes with seqcost, out of the kernels that were timed on one: data/h100.

    python benchmarks/h100_profile.py

Two runs of one device: a kernel timed in both has the median of its medians and the outermost of its quartiles.
Kernels stand under the names that PyTorch has for them, as rows of work do. Left out: what launches more than one
operator (SwiGLU, AdamW), what goes along the other axis than rows of work say, kernels whose time on the device is
not known. A recurrence of cuDNN has the time of its call: it launches several kernels a step, and the host is longer
at that than the device. Host times are medians over both runs; in the first a compiler shared the processor. How much
of the device a process's context takes was not seen: it was there before the first look.
"""

import csv
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from seqcost.algebra.work import Direction, Kernel
from seqcost.calibration.error import left_out
from seqcost.machines import Cache, Machine, Series, Value, Worth
from seqcost.machines.writing import to_toml
from seqcost.measure.kernels.products import COLD_BYTES
from seqcost.writing import write_text

MEASURED = Path(__file__).parent / "data" / "h100"
PROFILE = Path(__file__).parents[1] / "src" / "seqcost" / "machines" / "data" / "h100_2026-11-27.toml"
DATE = "2026-11-27"
RUNS = "two runs on one NVIDIA H100 80GB HBM3, torch 2.11.0, CUDA 13.0: benchmarks/data/h100 of seqcost's repository"
DIGITS = 4
ANY = "any"
RUNS_OF_ONE = 2

FORWARD, BACKWARD = Direction.FORWARD.value, Direction.BACKWARD.value
# What was timed -> PyTorch's operator, forward and backward. A half-precision attention went to cuDNN, float32's not.
OPERATORS = {
    ("linear", FORWARD): "addmm",
    ("input_gradient", FORWARD): "mm",
    ("weight_gradient", FORWARD): "mm",
    ("attention", FORWARD): "_scaled_dot_product_cudnn_attention",
    ("attention", BACKWARD): "_scaled_dot_product_cudnn_attention_backward",
    ("softmax", FORWARD): "_softmax",
    ("softmax", BACKWARD): "_softmax_backward_data",
    ("log_softmax", FORWARD): "_log_softmax",
    ("layer_norm", FORWARD): "native_layer_norm",
    ("layer_norm", BACKWARD): "native_layer_norm_backward",
    ("rms_norm", FORWARD): "_fused_rms_norm",
    ("copy", FORWARD): "clone",
    ("transpose", FORWARD): "clone",
    ("cast", FORWARD): "_to_copy",
    ("fill", FORWARD): "zeros",
    ("dense", FORWARD): "convolution",
    ("dense", BACKWARD): "convolution_backward",
    ("depthwise", FORWARD): "convolution",
    ("depthwise", BACKWARD): "convolution_backward",
    ("lstm", FORWARD): "_cudnn_rnn",
    ("lstm", BACKWARD): "_cudnn_rnn_backward",
    ("rfft", FORWARD): "_fft_r2c",
    ("irfft", FORWARD): "_fft_c2r",
    ("embedding_backward", FORWARD): "embedding_dense_backward",
    ("dropout", FORWARD): "native_dropout",
}
# Under their own names.
ALSO = (
    "bmm", "embedding", "gather", "index_select", "index_add", "scatter_add", "normal", "sort", "topk", "cumsum", "sum",
    "amax", "add", "mul", "exp", "gelu", "silu", "sigmoid", "addcmul",
)  # fmt: skip
# What a call is named in machine.json -> the operator that it launches; of those left out a call launches several.
CALLS = {
    "view": "view", "transpose": "transpose", "empty": "empty", "add": "add", "mul by a number": "mul", "gelu": "gelu",
    "linear": "mm", "nn.Linear": "addmm", "bmm": "bmm", "softmax": "_softmax", "layer_norm": "native_layer_norm",
    "embedding": "embedding", "cat": "cat", "index": "index", "sum": "sum", "copy": "clone",
}  # fmt: skip
Run = dict[str, Any]
Points = dict[tuple[Any, ...], dict[tuple[int, ...], list[list[float]]]]


def main() -> None:
    """Write the profile."""
    write_text(PROFILE, profile())
    print(f"wrote {PROFILE.name}: {PROFILE.stat().st_size:,} bytes")


def profile() -> str:
    """The profile as text."""
    runs = list(json.loads((MEASURED / "machine.json").read_text()).values())
    points = measured_points()
    machine = machine_of(runs, tuple(series(points)))
    plain = tuple(one for one in machine.series if not (one.causal or one.tf32))  # as products are predicted
    error = left_out(replace(machine, series=plain))
    return to_toml(replace(machine, stray=_value(stray(points), "1"), error=error))


def machine_of(runs: Sequence[Run], kernels: tuple[Series, ...]) -> Machine:
    """Limits, costs of a call and the allocator's habits, around the series."""
    first = runs[0]
    l2 = first["l2_bytes"]
    return Machine(
        name="h100",
        title="NVIDIA H100 SXM5 80 GB",
        device="gpu",
        edition=DATE,
        aliases=("h100-sxm", first["device"]),
        memory=_value(first["memory_bytes"], "B"),
        bandwidth=_value(best_rate(kernels, lambda size: size > 4 * l2), "B/s"),
        peaks={name: _value(peak, "FLOP/s") for name, peak in peaks(kernels).items()},
        caches=(l2_cache(l2, kernels),),
        links=dict(links(runs)),
        launch=_value(_middle(run["empty_kernel"]["device_s"] for run in runs), "s"),
        dispatch=_value(_middle(run["empty_kernel"]["called_s"] for run in runs), "s"),
        host=host(runs),
        rounding=rounding(first["rounding"]),
        workspaces={
            call: _value(found["allocated_bytes"], "B")
            for call, found in first["workspaces"].items()
            if found["allocated_bytes"]
        },
        libraries={
            call: _value(found["device_bytes"] - found["reserved_bytes"], "B")
            for call, found in first["workspaces"].items()
            if found["device_bytes"] > found["reserved_bytes"]
        },
        series=kernels,
        environment={
            "device": first["device"],
            "torch_version": first["environment"]["torch_version"],
            "cuda": first["cuda"],
            "cudnn": first["cudnn"],
            "driver_version": first["driver_version"],
            "multiprocessors": first["multiprocessors"],
            "power_limit": first["power.limit"],
            "clocks_max_sm": first["clocks.max.sm"],
            "clocks_max_mem": first["clocks.max.mem"],
            "cpu_model": first["environment"]["cpu_model"],
            "cpu_threads": first["threads"],
        },
    )  # fmt: skip


def measured_points() -> Points:
    """What stands in the table, by series and sizes: FLOPs, bytes, seconds and quartiles, once or twice."""
    with (MEASURED / "kernels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["device_s"]]
    found: Points = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if operator := operator_of(row):
            flags = tuple(row[name] == "1" for name in ("causal", "tf32"))
            pool = COLD_BYTES if row["cold"] == "1" else 0
            key = (row["kernel"], operator, row["direction"], row["dtype"], pool, *flags)
            timed = "called" if row["kernel"] == Kernel.RECURRENCE else "device"
            names = ("flops", "bytes", f"{timed}_s", f"{timed}_low_s", f"{timed}_high_s")
            sizes = tuple(map(int, row["sizes"].split()))
            found[key][sizes].append([float(row[name]) for name in names])
    return found


def series(points_of: Points) -> Iterator[Series]:
    """One for each kernel, operator, direction and data type; its points in order of size."""
    for key, points in sorted(points_of.items()):
        kernel, operator, direction, dtype, pool, causal, tf32 = key
        at = sorted(points)
        flops, moved, seconds, low, high = zip(*(_pooled(points[sizes]) for sizes in at), strict=True)
        yield Series(
            kernel=kernel, operator=operator, direction=direction, dtype=dtype, pool=pool, causal=causal, tf32=tf32,
            date=DATE, source=RUNS, sizes=tuple(at), flops=flops, bytes=moved, seconds=seconds, low=low, high=high,
        )  # fmt: skip


def operator_of(row: dict[str, str]) -> str | None:
    """PyTorch's name; nothing for what no row of work is."""
    name = row["operator"].partition(":")[0]
    if row["kernel"] == Kernel.ATTENTION and row["dtype"] == "float32":
        return OPERATORS[name, row["direction"]].replace("cudnn", "efficient")
    return OPERATORS.get((name, row["direction"])) or (name if name in ALSO else None)


def _pooled(found: list[list[float]]) -> list[float]:
    """Amounts, the median of the times, the outermost quartiles."""
    flops, moved, seconds, low, high = zip(*found, strict=True)
    pooled = (statistics.median(flops), statistics.median(moved), statistics.median(seconds), min(low), max(high))
    return [_rounded(amount) for amount in pooled]


def stray(points_of: Points) -> float:
    """Standard deviation of a kernel's logarithm from run to run, by the median of how far two are apart."""
    apart = [
        abs(math.log(found[0][2] / found[1][2]))
        for points in points_of.values()
        for found in points.values()
        if len(found) == RUNS_OF_ONE
    ]
    return statistics.median(apart) / (0.6745 * math.sqrt(2))


def peaks(kernels: Sequence[Series]) -> dict[str, float]:
    """The best rate of a product in each format."""
    best: dict[str, float] = {}
    for one in kernels:
        if one.kernel in (Kernel.PRODUCT, Kernel.BATCHED_PRODUCT, Kernel.ATTENTION):
            rate = max(flops / seconds for flops, seconds in zip(one.flops, one.seconds, strict=True))
            name = "tf32" if one.tf32 else one.dtype
            best[name] = max(best.get(name, 0.0), rate)
    return best


def best_rate(kernels: Sequence[Series], of: Callable[[float], bool]) -> float:
    """Bytes a second of streaming operators whose bytes are `of` a size."""
    return max(
        moved / seconds
        for one in kernels
        if one.kernel in (Kernel.ELEMENTWISE, Kernel.COPY)
        for moved, seconds in zip(one.bytes, one.seconds, strict=True)
        if of(moved)
    )


def l2_cache(l2: int, kernels: Sequence[Series]) -> Cache:
    """The cache that all of the device shares; its rate is of what fits in half of it."""
    rate = best_rate(kernels, lambda size: size <= l2 / 2)
    return Cache(name="L2", size=_value(l2, "B"), bandwidth=_value(rate, "B/s"))


def links(runs: Sequence[Run]) -> Iterator[tuple[str, Value]]:
    """Copies of the largest size."""
    for way in ("to_device", "from_device"):
        for kind, name in (("pinned", way), ("pageable", f"{way}_pageable")):
            copies = [run["transfers"][f"{way} {kind} {256 * 2**20}"] for run in runs]
            yield name, _value(_middle(copy["bytes"] / copy["s"] for copy in copies), "B/s")


def host(runs: Sequence[Run]) -> dict[str, dict[str, Value]]:
    """What a call takes of the host; the way back is assumed to take what recording does.

    Measured alone it is mostly the start of autograd's engine, which a step has once and not once an operator.
    """
    found = {
        operator: {way: _middle(run["calls"][call][f"{way}_s"] for run in runs) for way in ("plain", "recording")}
        for call, operator in CALLS.items()
    }
    launching = [ways for operator, ways in found.items() if operator not in ("view", "transpose", "empty")]
    found[ANY] = {way: statistics.median(ways[way] for ways in launching) for way in ("plain", "recording")}
    return {
        operator: {way: _value(seconds, "s") for way, seconds in ways.items()}
        | {"backward": _value(ways["recording"], "s", Worth.ASSUMED)}
        for operator, ways in found.items()
    }


def rounding(rows: Sequence[dict[str, int]]) -> dict[str, Value]:
    """The allocator's habits, read off what it gave."""
    block = min(row["allocated_bytes"] for row in rows)
    small_segment = min(row["reserved_bytes"] for row in rows if row["reserved_bytes"])
    shared = [row for row in rows if row["reserved_bytes"] > row["allocated_bytes"]]
    large_segment = max(row["reserved_bytes"] for row in shared if row["asked_bytes"] < row["reserved_bytes"] / 2)
    own = [row for row in rows if row["reserved_bytes"] not in (0, small_segment, large_segment)]
    rests = [row["allocated_bytes"] - -(-row["asked_bytes"] // block) * block for row in rows]
    found = {
        "block": block,
        "small_request": max(row["asked_bytes"] for row in rows if row["reserved_bytes"] == small_segment),
        "small_segment": small_segment,
        "large_request": min(row["allocated_bytes"] for row in own),
        "large_segment": large_segment,
        "large_step": _common(row["reserved_bytes"] for row in own),
        "unsplit": max(rests),
    }
    return {name: _value(amount, "B") for name, amount in found.items()}


def _value(amount: float, unit: str, kind: Worth = Worth.MEASURED) -> Value:
    source = RUNS if kind is Worth.MEASURED else f"as what recording takes, measured in {RUNS}"
    return Value(amount=_rounded(amount) if unit != "B" else amount, unit=unit, kind=kind, source=source, date=DATE)


def _rounded(amount: float) -> float:
    return float(f"{amount:.{DIGITS}g}")


def _middle(amounts: Iterable[float]) -> float:
    return statistics.median(amounts)


def _common(amounts: Iterable[int]) -> int:
    return math.gcd(*amounts)


if __name__ == "__main__":
    main()
