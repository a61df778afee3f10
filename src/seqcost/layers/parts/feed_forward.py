"""Position-wise feed-forward network, plain or gated. Letters: see formulas."""

import functools
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.formulas.parts import feed_forward
from seqcost.layers.core.layer import Pointwise, check_features

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu-tanh": functools.partial(F.gelu, approximate="tanh"),
    "swiglu": F.silu,
}


class FeedForward(Pointwise):
    """See `seqcost.formulas.parts.feed_forward`."""

    Config = feed_forward.FeedForward

    def __init__(self, config: feed_forward.FeedForward | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.gate = nn.Linear(m.D, m.F, bias=m.bias) if m.gated else None
        self.up = nn.Linear(m.D, m.F, bias=m.bias)
        self.down = nn.Linear(m.F, m.D, bias=m.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        check_features(self, x_BTD)
        activate = ACTIVATIONS[self.config.activation]
        if self.gate is None:
            return self.down(activate(self.up(x_BTD)))
        return self.down(activate(self.gate(x_BTD)) * self.up(x_BTD))
