"""What a model's launches cost besides their kernels: modules called, views taken, gradients followed.

A few small models of PyTorch's own parts run on next to nothing, so that all of their time is the caller's. Each is
given back with the rows of work that it launched; what their kernels do not explain is glue. Not covered: what a
model does in Python between its operators.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

D, T = 16, 8
RUNS = 7
SPAN_S = 0.02


class FeedForward(nn.Module):
    """x + W₂ gelu(W₁ norm(x)), four times."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(D), nn.Linear(D, 4 * D), nn.GELU(), nn.Linear(4 * D, D)) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        for block in self.blocks:
            x = x + block(x)
        return x


class Attention(nn.Module):
    """Fused attention of four heads, three times."""

    def __init__(self) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.ModuleList(nn.Linear(D, D) for _ in range(4)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        for weights in self.projections:
            *inward, outward = cast(nn.ModuleList, weights)
            q, k, v = (w(x).view(1, -1, 4, D // 4).transpose(1, 2) for w in inward)
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + outward(mixed.transpose(1, 2).reshape(1, -1, D))
        return x


class Loop(nn.Module):
    """A gated recurrence over time, written out in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.input, self.hidden = nn.Linear(D, 2 * D), nn.Linear(D, 2 * D)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        given = self.input(x)
        h, out = x.new_zeros(1, D), []
        for t in range(x.shape[1]):
            gate, new = (given[:, t] + self.hidden(h)).chunk(2, -1)
            gate = torch.sigmoid(gate)
            h = gate * h + (1 - gate) * torch.tanh(new)
            out.append(h)
        return torch.stack(out, 1)


class Pieces(nn.Module):
    """Halves taken apart, turned and put together, as rotary positions do."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        for _ in range(6):
            a, b = x.chunk(2, -1)
            x = torch.cat((a * 0.6 - b * 0.8, a * 0.8 + b * 0.6), -1)
        return x.softmax(-1)


def glued(rows_of: Callable[[Callable[[], object]], list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """For each model, without gradients and as a training step: seconds of a run, and its rows by `rows_of`."""
    for kind in (FeedForward, Attention, Loop, Pieces):
        module, x = kind(), torch.randn(1, T, D)

        def plain(module: nn.Module = module, x: Tensor = x) -> None:
            with torch.no_grad():
                module(x)

        given = x.clone().requires_grad_()

        def step(module: nn.Module = module, x: Tensor = given) -> None:
            module(x).sum().backward()
            for parameter in module.parameters():
                parameter.grad = None
            x.grad = None

        for phase, run in (("forward", plain), ("train", step)):
            yield {"model": kind.__name__, "phase": phase, "seconds": _timed(run), "rows": rows_of(run)}


def _timed(run: Callable[[], object]) -> float:
    for _ in range(5):
        run()
    start_s = time.perf_counter()
    run()
    repeats = max(3, round(SPAN_S / (time.perf_counter() - start_s)))
    found = []
    for _ in range(RUNS):
        start_s = time.perf_counter()
        for _ in range(repeats):
            run()
        found.append((time.perf_counter() - start_s) / repeats)
    return statistics.median(found)
