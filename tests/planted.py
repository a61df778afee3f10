"""Sequence models with one fault each, planted where a check can miss it. Without a fault they are sound."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from seqcost.layers import Lstm

WIDTH = 16


class Carrying(Lstm):
    """A layer that follows the contract (`forward`, `extend`, `step`), with one fault at a time."""

    def __init__(self, fault: str) -> None:
        super().__init__(D=WIDTH, N=WIDTH)
        self.fault, self.calls = fault, 0

    def forward(self, x: Tensor) -> Tensor:
        T = x.shape[1]
        if self.fault == "one token ahead":
            x = x.roll(-1, dims=1)
        if self.fault == "the last token ahead of one":
            x = torch.cat([x[:, :-2], x[:, -2:-1] + x[:, -1:], x[:, -1:]], 1)
        if self.fault == "its block of 8":
            x = x + x.view(-1, T // 8, 8, WIDTH).mean(2).repeat_interleave(8, 1) if T % 8 == 0 else x
        if self.fault == "the loudest of all tokens":
            x = x / x.detach().abs().amax(1, keepdim=True)
        if self.fault == "the mean of the batch":
            x = x + x.mean(0, keepdim=True)
        if self.fault == "the row before":
            x = torch.cat([x[:1], x[1:] + x[:-1]])
        if self.fault == "the last row sees the first":
            x = torch.cat([x[:-1], x[-1:] + x[:1]]) if len(x) > 2 else x
        if self.fault == "the input changed by the whole":
            x.add_(1e-3)
        if self.fault == "numbers drawn by the whole":
            torch.rand(1)
        if self.fault == "the whole differs":
            self.calls += 1
            x = x * (1 + 0.01 * self.calls)
        return super().forward(x)

    def extend(self, x: Tensor, state: object) -> tuple[Tensor, object]:
        if self.fault == "extend looks ahead":
            x = torch.cat([x[:, 1:], x[:, -1:]], 1)
        if self.fault == "extend mixes rows":
            x = x + x.mean(0, keepdim=True)
        if self.fault == "extend restarts":
            state = self.init_state(x.shape[0])
        if self.fault == "extend cuts the graph":
            state = state.detach()
        if self.fault == "numbers drawn by extend":
            np.random.random()  # noqa: NPY002 - the global one is meant
        y, after = super().extend(x, state)
        if self.fault == "extend changes its state":
            state.h_BN.add_(0.1)
        return y, after

    def step(self, x: Tensor, state: object) -> tuple[Tensor, object]:
        if self.fault == "the input changed by a step":
            x.add_(1e-3)
        if self.fault == "numbers drawn by a step":
            random.random()
        if self.fault == "a step differs":
            self.calls += 1
            x = x * (1 + 0.01 * self.calls)
        if self.fault == "a step restarts":
            state = self.init_state(x.shape[0])
        if self.fault == "a step cuts the graph":
            state = state.detach()
        if self.fault == "a step mixes rows":
            x = x + x.flip(0)
        y, after = super().extend(x.unsqueeze(1), state)
        if self.fault == "a step changes its state":
            state.c_BN.mul_(1.001)
        return y.squeeze(1), after


class Alone(nn.Linear):
    """A layer that carries nothing and says nothing of what it sees, with one fault at a time."""

    def __init__(self, fault: str) -> None:
        super().__init__(WIDTH, WIDTH)
        self.fault = fault

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        past = y.cumsum(1)
        if self.fault == "alone, one token ahead":
            past = past.roll(-1, 1)
        if self.fault == "alone, only the next token":
            past = y + torch.cat([y[:, 1:], y[:, -1:]], 1)
        if self.fault == "alone, its block of 8":
            past = y + y.view(-1, y.shape[1] // 8, 8, WIDTH).mean(2).repeat_interleave(8, 1)
        if self.fault == "alone, the loudest of all tokens":
            past = past / y.detach().abs().amax(1, keepdim=True)
        return past


class Faint(nn.GRU):
    """`m(x, state) → (y, state)`; its state is dropped, too faintly to be seen with the weights as they are."""

    def __init__(self, fault: str) -> None:
        super().__init__(WIDTH, WIDTH, batch_first=True)
        self.fault = fault
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        nn.init.normal_(self.out.weight, std=1e-6)

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y, state = super().forward(x, None if self.fault == "a faint state dropped" else hx)
        return x + self.out(y), state


class Masked(nn.Module):
    """Causal attention by the custom of Hugging Face, whose cache is a list of keys; it may not heed its mask."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault
        self.table = nn.Embedding(50, WIDTH, padding_idx=0)
        self.keys, self.values = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, input_ids, attention_mask=None, past_key_values=None, use_cache=False):
        x = self.table(input_ids)
        before = past_key_values or [x[:, :0], x[:, :0]]
        keys, values = torch.cat([before[0], self.keys(x)], 1), torch.cat([before[1], self.values(x)], 1)
        past = keys.shape[1] - x.shape[1]
        seen = torch.ones(x.shape[1], keys.shape[1], dtype=torch.bool).tril(past)
        if attention_mask is not None and self.fault != "padding is seen":
            seen = seen & attention_mask.bool()[:, None]
        if self.fault == "the mask of the first row":
            seen = seen[:1] if seen.dim() == 3 else seen
        scores = (x @ keys.mT).masked_fill(~seen, -1e9)
        cache = [keys, values] if use_cache else None
        return Answer(scores.softmax(-1) @ values, cache)


@dataclass
class Answer:
    """Logits and a cache, as Hugging Face returns them."""

    logits: Tensor
    past_key_values: list[Tensor] | None


FUTURE, ROWS, TWICE = "does not see the future", "rows of a batch are apart", "the same call twice"
STATE, INPUT, RANDOM = (
    "the state is not changed by a step", "the input is not changed", "global random numbers are not touched"
)  # fmt: skip
PIECES, STEPS, GRADIENTS = "three pieces = whole", "single steps = whole", "gradients through the state"
LEFT = "padding on the left"

# Each fault: the module, the row that must name it, and words of its remark.
FAULTS = {
    "one token ahead": (Carrying, FUTURE, "sees 1 token ahead"),
    "the last token ahead of one": (Carrying, FUTURE, "sees 1 token ahead"),
    "its block of 8": (Carrying, FUTURE, "sees 7 tokens ahead"),
    "the loudest of all tokens": (Carrying, FUTURE, "tokens ahead"),
    "extend looks ahead": (Carrying, FUTURE, "sees 1 token ahead among further tokens"),
    "alone, one token ahead": (Alone, FUTURE, "sees 1 token ahead"),
    "alone, only the next token": (Alone, FUTURE, "sees 1 token ahead"),
    "alone, its block of 8": (Alone, FUTURE, "sees 7 tokens ahead"),
    "alone, the loudest of all tokens": (Alone, FUTURE, "tokens ahead"),
    "the mean of the batch": (Carrying, ROWS, "row 0 is seen"),
    "the row before": (Carrying, ROWS, "row 0 is seen"),
    "the last row sees the first": (Carrying, ROWS, "row 0 is seen"),
    "extend mixes rows": (Carrying, ROWS, "when carried on"),
    "a step mixes rows": (Carrying, ROWS, "when carried on"),
    "the input changed by the whole": (Carrying, INPUT, "the whole"),
    "the input changed by a step": (Carrying, INPUT, "a step"),
    "numbers drawn by the whole": (Carrying, RANDOM, "torch by the whole"),
    "numbers drawn by extend": (Carrying, RANDOM, "numpy by further tokens"),
    "numbers drawn by a step": (Carrying, RANDOM, "python by a step"),
    "the whole differs": (Carrying, TWICE, "the whole"),
    "a step differs": (Carrying, TWICE, "a step"),
    "extend changes its state": (Carrying, STATE, "by further tokens"),
    "a step changes its state": (Carrying, STATE, "by a step"),
    "extend restarts": (Carrying, PIECES, ""),
    "a step restarts": (Carrying, STEPS, ""),
    "a faint state dropped": (Faint, PIECES, "with larger weights"),
    "extend cuts the graph": (Carrying, GRADIENTS, ""),
    "a step cuts the graph": (Carrying, GRADIENTS, ""),
    "padding is seen": (Masked, LEFT, ""),
    "the mask of the first row": (Masked, LEFT, ""),
}
