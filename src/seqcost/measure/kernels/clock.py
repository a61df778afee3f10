"""How long one launch takes: on the device by itself, and called from Python one after the other.

On CUDA launches are captured in a graph and the graph is replayed between two events: what remains is the device's own
time, without Python's. The second clock is Python's, over calls as a model makes them; where the two differ, the caller
is what bounds. On the CPU there is the second alone. Not covered: launches that overlap on several streams.
"""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass

import torch

Call = Callable[[], object]

REPETITIONS = 7
SPAN_S = 1.5e-3  # of one repetition, where a launch is shorter
MOST_LAUNCHES = 256  # in a graph; half of them fit the queue of a device, so that calls never wait for room
WARM_S = 3e-3


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds of a launch, one number for each repetition."""

    device_s: tuple[float, ...]  # empty: on the CPU, or what was called cannot be captured
    called_s: tuple[float, ...]
    launches: int  # in each repetition


@contextmanager
def quiet(device: torch.device) -> Iterator[None]:
    """Inside, calls may be made and timed: without gradients, on CUDA on a stream that can be captured.

    A backward pass runs on the stream of its forward pass, so whoever makes calls makes them in here.
    """
    beside = torch.cuda.stream(torch.cuda.Stream(device)) if device.type == "cuda" else nullcontext()
    with torch.no_grad(), beside:
        yield


def timed(calls: Sequence[Call], device: torch.device, *, captured: bool = True) -> Timed:
    """Time `calls` in turn, which do the same on copies of the same operands; inside `quiet`."""
    for call in calls:
        call()
    _wait(device)
    start_s = time.perf_counter()
    for call in calls:
        call()
    _wait(device)
    estimate_s = (time.perf_counter() - start_s) / len(calls)
    launches = min(max(round(SPAN_S / estimate_s), 1), MOST_LAUNCHES)
    launches = max(launches, len(calls))
    called_s = tuple(_called(calls, launches, device) for _ in range(REPETITIONS))
    device_s = _replayed(calls, launches, device) if device.type == "cuda" and captured else ()
    return Timed(device_s=device_s, called_s=called_s, launches=launches)


def _called(calls: Sequence[Call], launches: int, device: torch.device) -> float:
    start_s = time.perf_counter()
    for i in range(launches):
        calls[i % len(calls)]()
    _wait(device)
    return (time.perf_counter() - start_s) / launches


def _replayed(calls: Sequence[Call], launches: int, device: torch.device) -> tuple[float, ...]:
    """Seconds of a launch in replays of one graph; none where an operator cannot be captured."""
    graph = torch.cuda.CUDAGraph()
    # not by torch.cuda.graph, which collects garbage and empties the cache first: 30 ms
    graph.capture_begin()
    try:
        for i in range(launches):
            calls[i % len(calls)]()
    except RuntimeError:  # it waits for the device, or takes what a graph must not take
        with suppress(RuntimeError):
            graph.capture_end()
        torch.cuda.synchronize(device)
        return ()
    graph.capture_end()
    graph.replay()
    warm_until_s = time.perf_counter() + WARM_S
    torch.cuda.synchronize(device)
    while time.perf_counter() < warm_until_s:
        graph.replay()
        torch.cuda.synchronize(device)
    found = []
    for _ in range(REPETITIONS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        found.append(start.elapsed_time(end) / 1e3 / launches)
    graph.reset()
    return tuple(found)


def middle(seconds: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    if len(seconds) < 2:
        return (seconds[0],) * 3
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return low, median, high


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
