"""Small models of PyTorch's own parts, run whole: what launches take in a model beyond what they take alone.

The smallest sizes make all of their time the caller's: modules called, views taken, gradients followed. At the sizes of
models their operators find operands as others leave them: in slices and broadcast, in whatever cache. Each run is given
back with the rows of work that it launched, so that a calibration can hold its own kernels against it. None of them is
an architecture of the catalogue. Not covered: what a model computes in Python between its operators.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SMALLEST = (16, 8)  # width, tokens; of depth 1
DEPTH = 4
SIZES = ((128, 1), (512, 1), (64, 32), (128, 64), (128, 512), (512, 128))
MOST_STEPS = 64  # of a loop in Python
MOST_TOKENS = 2**14  # times width: of models that hold a state for each token
FEWEST, MOST = 3, 60  # runs
SPAN_S = 0.03
VOCABULARY = 256
STATE = 16


class FeedForward(nn.Module):
    """x + W₂ gelu(W₁ norm(x)), as often as it is deep."""

    def __init__(self, D: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(D), nn.Linear(D, 4 * D), nn.GELU(), nn.Linear(4 * D, D)) for _ in range(depth)
        )

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        for block in self.blocks:
            x = x + block(x)
        return x


class Attention(nn.Module):
    """Fused attention of four heads with turned queries and keys, as often as it is deep."""

    def __init__(self, D: int, depth: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.ModuleList(nn.Linear(D, D) for _ in range(4)) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        D, T = x.shape[-1], x.shape[1]
        for weights in self.projections:
            *inward, outward = cast(nn.ModuleList, weights)
            q, k, v = (w(x).view(1, T, 4, D // 4).transpose(1, 2) for w in inward)
            angles = torch.arange(T, dtype=x.dtype).unsqueeze(-1) * torch.linspace(0.0, 1.0, D // 8)
            q, k = (_turned(half, angles.cos(), angles.sin()) for half in (q, k))
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + outward(mixed.transpose(1, 2).reshape(1, T, D))
        return x


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), -1)


class Scores(nn.Module):
    """Attention written out: scores, a mask, softmax, and their product with the values, as often as it is deep."""

    def __init__(self, D: int, depth: int) -> None:
        super().__init__()
        self.inward = nn.ModuleList(nn.Linear(D, 3 * D, bias=False) for _ in range(depth))
        self.norm = nn.LayerNorm(D)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        B, T, D = x.shape
        seen = torch.ones(T, T, dtype=torch.bool).tril()
        for inward in self.inward:
            q, k, v = inward(self.norm(x)).view(B, T, 3, 4, D // 4).permute(2, 0, 3, 1, 4).unbind(0)
            scores = (q @ k.transpose(-2, -1) * (D // 4) ** -0.5).masked_fill(~seen, -1e9)
            x = x + (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, D)
        return x


class Loop(nn.Module):
    """A gated recurrence over time, written out in Python."""

    def __init__(self, D: int, depth: int) -> None:
        super().__init__()
        self.input, self.hidden = nn.Linear(D, 2 * D), nn.Linear(D, 2 * D)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        given = self.input(x)
        h, out = x.new_zeros(1, x.shape[-1]), []
        for t in range(x.shape[1]):
            gate, new = (given[:, t] + self.hidden(h)).chunk(2, -1)
            gate = torch.sigmoid(gate)
            h = gate * h + (1 - gate) * torch.tanh(new)
            out.append(h)
        return torch.stack(out, 1)


class Gated(nn.Module):
    """One product into two halves, a short convolution on one, the other as its gate, as often as it is deep."""

    def __init__(self, D: int, depth: int) -> None:
        super().__init__()
        self.inward = nn.ModuleList(nn.Linear(D, 4 * D, bias=False) for _ in range(depth))
        self.outward = nn.ModuleList(nn.Linear(2 * D, D, bias=False) for _ in range(depth))
        self.taps = nn.Parameter(torch.randn(2 * D, 1, 4))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        for inward, outward in zip(self.inward, self.outward, strict=True):
            u, gate = inward(x).chunk(2, -1)
            u = F.conv1d(F.pad(u.transpose(1, 2), (3, 0)), self.taps, groups=u.shape[-1]).transpose(1, 2)
            y = F.silu(u) * F.silu(gate)
            x = x + outward(y * (y.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt())
        return x


class States(nn.Module):
    """A state for each token and channel that decays and is read, summed up in blocks of eight tokens."""

    def __init__(self, D: int, depth: int) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.rand(D, STATE))
        self.write, self.read = nn.Linear(D, STATE, bias=False), nn.Linear(D, STATE, bias=False)
        self.step = nn.Linear(D, D)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        step = F.softplus(self.step(x))
        decay = torch.exp(-step.unsqueeze(-1) * self.rate)
        given = (step * x).unsqueeze(-1) * self.write(x).unsqueeze(2)
        state, out = torch.zeros_like(given[:, 0]), []
        for a, b in zip(decay.split(8, 1), given.split(8, 1), strict=True):
            states = []
            for one, more in zip(a.unbind(1), b.unbind(1), strict=True):
                state = torch.addcmul(more, one, state)
                states.append(state)
            out.append(torch.stack(states, 1))
        return (torch.cat(out, 1) @ self.read(x).unsqueeze(-1)).squeeze(-1)


class Ends(nn.Module):
    """Tokens looked up, a recurrence of PyTorch's own kernel, and the loss of the next ones."""

    def __init__(self, D: int, depth: int) -> None:
        super().__init__()
        self.table, self.head = nn.Embedding(VOCABULARY, D), nn.Linear(D, VOCABULARY)
        self.cell = nn.LSTM(D, D, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        ids = torch.arange(x.shape[1]).remainder(VOCABULARY)
        logits = self.head(self.cell(self.table(ids).unsqueeze(0) + x)[0])
        return F.cross_entropy(logits.view(-1, VOCABULARY), ids)


class Pieces(nn.Module):
    """Halves taken apart, turned and put together, as rotary positions do."""

    def __init__(self, D: int, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        for _ in range(self.depth):
            a, b = x.chunk(2, -1)
            x = torch.cat((a * 0.6 - b * 0.8, a * 0.8 + b * 0.6), -1)
        return x.softmax(-1)


class Chain(nn.Module):
    """Operators alone, one after the other."""

    def __init__(self, D: int, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        for _ in range(self.depth):
            x = torch.tanh(x * 0.5 + 1.0) - x
        return x


class Views(nn.Module):
    """Shapes turned over and over, with an operator now and then."""

    def __init__(self, D: int, depth: int) -> None:
        super().__init__()
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        _, T, D = x.shape
        for _ in range(self.depth):
            y = x.view(1, T, 4, D // 4).transpose(1, 2).unsqueeze(0).squeeze(0)[:, 1:3].expand(1, 2, T, D // 4)
            x = x + y.select(1, 0).unsqueeze(-1).expand(1, T, D // 4, 4).transpose(2, 3).reshape(1, T, D)
        return x


class Shells(nn.Module):
    """Modules within modules around an operator."""

    def __init__(self, D: int, depth: int) -> None:
        super().__init__()
        self.shells = nn.ModuleList(nn.Sequential(nn.Sequential(nn.Identity(), nn.Tanh())) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        for shell in self.shells:
            x = shell(x)
        return x


CALLS: tuple[type[nn.Module], ...] = (
    FeedForward,
    Attention,
    Loop,
    Pieces,
    Chain,
    Views,
    Shells,
)  # at the smallest size
WHOLE: tuple[type[nn.Module], ...] = (FeedForward, Attention, Scores, Loop, Gated, States, Ends, Pieces)
ONE_BY_ONE = (Loop, States)


Watched = Callable[[Callable[[], object]], dict[str, Any]]


def ran(watched: Watched, between: Callable[[], object]) -> Iterator[dict[str, Any]]:
    """For each model and size, without gradients and as a training step: seconds of a run, and what `watched` tells.

    `between` runs before each run that is timed.
    """
    sizes = [(kind, *SMALLEST, 1) for kind in CALLS]
    sizes += [
        (kind, D, T, DEPTH)
        for kind in WHOLE
        for D, T in SIZES
        if kind not in ONE_BY_ONE or (T <= MOST_STEPS and D * T <= MOST_TOKENS)
    ]
    for kind, D, T, depth in sizes:
        for phase, run in _runs(kind(D, depth), torch.randn(1, T, D)):
            seconds = _timed(run, between)
            yield {"model": kind.__name__, "D": D, "T": T, "phase": phase, "seconds": seconds, **watched(run)}


def _runs(module: nn.Module, x: Tensor) -> Iterator[tuple[str, Callable[[], object]]]:
    given = x.clone().requires_grad_()

    def plain() -> None:
        with torch.no_grad():
            module(x)

    def step() -> None:
        module(given).sum().backward()
        for tensor in (*module.parameters(), given):
            tensor.grad = None

    if x.shape[1] == 1:
        yield "decode", plain
    else:
        yield from (("forward", plain), ("train", step))


def _timed(run: Callable[[], object], between: Callable[[], object]) -> float:
    for _ in range(3):
        run()
    found: list[float] = []
    begun_s = time.perf_counter()
    while len(found) < FEWEST or (time.perf_counter() - begun_s < SPAN_S and len(found) < MOST):
        between()
        start_s = time.perf_counter()
        run()
        found.append(time.perf_counter() - start_s)
    return statistics.median(found)
