"""What belongs to a machine and to no kernel: a call from Python, an empty kernel, transfers, the allocator's habits.

Seconds are medians. Bytes are differences before and after. Not covered: what several processes on one device do to
each other.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from seqcost.measure.kernels.clock import REPETITIONS, timed

MIB = 2**20
CALLS = 200
NOTHING = 64  # elements: a kernel that does next to nothing


def calls_from_python(device: torch.device) -> dict[str, dict[str, float]]:
    """Seconds of a call on next to nothing, which are the caller's own: without gradients, recording, and backward."""
    x, y = torch.randn(8, 8, device=device), torch.randn(8, 8, device=device)
    heads = torch.randn(1, 2, 8, 8, device=device)
    ids, table = torch.arange(8, device=device), torch.randn(16, 8, device=device)
    layer = nn.Linear(8, 8, device=device)
    weight, bias = torch.randn(8, device=device), torch.randn(8, device=device)
    operators: dict[str, Callable[..., Any]] = {
        "view": lambda x: x.view(64),
        "transpose": lambda x: x.transpose(0, 1),
        "empty": lambda x: torch.empty(64, device=device),
        "add": lambda x: x + y,
        "mul by a number": lambda x: x * 2.0,
        "gelu": F.gelu,
        "linear": lambda x: F.linear(x, y),
        "nn.Linear": layer,
        "bmm": lambda x: torch.bmm(x.view(1, 8, 8), y.view(1, 8, 8)),
        "softmax": lambda x: x.softmax(-1),
        "layer_norm": lambda x: F.layer_norm(x, (8,), weight, bias),
        "attention": lambda x: F.scaled_dot_product_attention(heads * x, heads, heads),
        "embedding": lambda x: F.embedding(ids, table),
        "cat": lambda x: torch.cat((x, y)),
        "index": lambda x: x[ids],
        "sum": lambda x: x.sum(),
        "copy": lambda x: x.clone(),
    }
    found = {}
    for name, operator in operators.items():
        recorded = x.detach().requires_grad_()
        with torch.no_grad():
            plain_s = _each(partial(operator, x), device)
        with torch.enable_grad():
            recording_s = _each(partial(operator, recorded), device)
            output = operator(recorded)
            seconds = {"plain_s": plain_s, "recording_s": recording_s}
            if output.requires_grad:
                total = torch.ones_like(output)
                back = partial(torch.autograd.grad, output, recorded, total, retain_graph=True, allow_unused=True)
                seconds["backward_s"] = _each(back, device)
        found[name] = seconds
    return found


def _each(call: Callable[[], object], device: torch.device) -> float:
    """Seconds that a caller waits for one call, not for the device."""
    found = []
    for _ in range(REPETITIONS + 2):
        _wait(device)
        start_s = time.perf_counter()
        for _ in range(CALLS):
            call()
        found.append((time.perf_counter() - start_s) / CALLS)
    return statistics.median(found[2:])


def empty_kernel(device: torch.device) -> dict[str, float]:
    """A kernel on next to nothing: alone with a wait after it, in a row from Python, in a row by the device itself."""
    x = torch.zeros(NOTHING, device=device)
    call = partial(x.add_, 1)
    row = timed([call], device)
    alone = []
    for _ in range(CALLS):
        _wait(device)
        start_s = time.perf_counter()
        call()
        _wait(device)
        alone.append(time.perf_counter() - start_s)
    found = {"alone_s": statistics.median(alone), "called_s": statistics.median(row.called_s)}
    return found | ({"device_s": statistics.median(row.device_s)} if row.device_s else {})


def transfers(device: torch.device) -> dict[str, dict[str, float]]:
    """Seconds of a copy between the CPU's memory and the device's, by bytes; pinned memory and ordinary."""
    found = {}
    for size in (4, 4096, MIB, 16 * MIB, 256 * MIB):
        there = torch.empty(size, dtype=torch.uint8, device=device)
        for kind in ("pinned", "pageable"):
            here = torch.zeros(size, dtype=torch.uint8, pin_memory=kind == "pinned")
            for way, to, source in (("to_device", there, here), ("from_device", here, there)):
                found[f"{way} {kind} {size}"] = {"bytes": size, "s": _copied(to, source, device)}
    return found


def _copied(to: torch.Tensor, source: torch.Tensor, device: torch.device) -> float:
    seconds = []
    for _ in range(REPETITIONS + 2):
        _wait(device)
        start_s = time.perf_counter()
        to.copy_(source)
        _wait(device)
        seconds.append(time.perf_counter() - start_s)
    return statistics.median(seconds[2:])


def rounding(device: torch.device) -> Iterator[dict[str, int]]:
    """For sizes of one tensor: what the allocator gives out for it, and what it reserves of an empty device."""
    for size in (1, 511, 512, 513, 4000, MIB - 1, MIB, MIB + 1, 2 * MIB, 5 * MIB, 10 * MIB - 1, 10 * MIB, 11 * MIB,
                 21 * MIB, 33 * MIB + 5, 100 * MIB + 1):  # fmt: skip
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated(device), torch.cuda.memory_reserved(device)
        x = torch.empty(size, dtype=torch.uint8, device=device)
        yield {
            "asked_bytes": size,
            "allocated_bytes": torch.cuda.memory_allocated(device) - before[0],
            "reserved_bytes": torch.cuda.memory_reserved(device) - before[1],
        }
        del x


def fresh_memory(device: torch.device) -> dict[str, dict[str, float]]:
    """Seconds of an allocation, by bytes: from the driver, and from the allocator's own store."""
    found = {}
    for size in (MIB, 16 * MIB, 256 * MIB, 4096 * MIB):
        torch.cuda.empty_cache()
        seconds = []
        for _ in range(2):
            _wait(device)
            start_s = time.perf_counter()
            x = torch.empty(size, dtype=torch.uint8, device=device)
            seconds.append(time.perf_counter() - start_s)
            del x
        found[str(size)] = {"bytes": size, "driver_s": seconds[0], "kept_s": seconds[1]}
    torch.cuda.empty_cache()
    return found


def workspaces(device: torch.device) -> dict[str, dict[str, int]]:
    """What a first call leaves behind: bytes in PyTorch's allocator, and on the device in all."""
    half = partial(torch.randn, device=device, dtype=torch.bfloat16)
    whole = partial(torch.randn, device=device)
    q, layers = partial(half, 1, 2, 128, 64), {kind: kind(64, 64, batch_first=True) for kind in (nn.LSTM, nn.GRU)}
    first: dict[str, Callable[[], object]] = {
        "a first kernel": lambda: whole(1).add_(1),
        "float32 product": lambda: whole(256, 256) @ whole(256, 256),
        "bfloat16 product": lambda: half(256, 256) @ half(256, 256),
        "bfloat16 linear with a bias": lambda: F.linear(half(256, 256), half(256, 256), half(256)),
        "batched product": lambda: torch.bmm(half(8, 64, 64), half(8, 64, 64)),
        "attention": lambda: F.scaled_dot_product_attention(q(), q(), q()),
        "convolution": lambda: F.conv1d(whole(1, 64, 256), whole(64, 64, 3)),
        "FFT": lambda: torch.fft.rfft(whole(64, 1024)),
        "lstm": lambda: layers[nn.LSTM].to(device)(whole(2, 16, 64)),
        "gru": lambda: layers[nn.GRU].to(device)(whole(2, 16, 64)),
        "sort": lambda: whole(64, 1024).sort(),
    }
    found = {"context": _held(device)}  # all that is taken before anything runs
    for name, call in first.items():
        before = _held(device)
        for _ in range(2):
            call()
        found[name] = {key: after - before[key] for key, after in _held(device).items()}
    return found


def _held(device: torch.device) -> dict[str, int]:
    _wait(device)
    torch.cuda.empty_cache()
    free, total = torch.cuda.mem_get_info(device)
    return {
        "allocated_bytes": torch.cuda.memory_allocated(device),
        "reserved_bytes": torch.cuda.memory_reserved(device),
        "device_bytes": total - free,
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
