"""Output head and pooler. Letters: see formulas."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.parts import head
from seqcost.layers.core.layer import Layer, Pointwise
from seqcost.layers.core.state import State


def first_scale(D: int) -> float:
    """What logits are scaled by when training starts, so that the loss is near ln U: 4/√D, at most 1.

    Features have the length √D behind a norm, rows of the table the length 1. A tied head scores a token against
    itself: without the scale that logit is √D times a cosine that is near 1 before anything is learned.
    """
    return float(min(1.0, 4.0 * D**-0.5))


class Head(Pointwise):
    """[B,T,D] → logits [B,T,U]. A tied head is given its weight by `tie`, its first scale by the model."""

    Config = head.Head

    def __init__(self, config: head.Head | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.weight: nn.Parameter | None = None
        if not m.tied:
            self.weight = nn.Parameter(torch.empty(m.U, m.D))
            nn.init.normal_(self.weight, std=first_scale(m.D) * m.D**-0.5)
        self.bias = nn.Parameter(torch.zeros(m.U)) if m.bias else None

    def tie(self, table_UD: nn.Parameter) -> None:
        """Share the embedding's table."""
        assert self.config.tied, "only a tied head shares a table"
        self.weight = table_UD

    def forward(self, x_BTD: Tensor) -> Tensor:
        assert self.weight is not None, "a tied head was not tied"
        return F.linear(x_BTD, self.weight, self.bias)


class Pooler(Layer):
    """[B,T,D] → [B,D]: the first token only, so there is nothing to extend."""

    Config = head.Pooler

    def __init__(self, config: head.Pooler | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        self.dense = nn.Linear(self.config.D, self.config.D)

    def forward(self, x_BTD: Tensor) -> Tensor:
        if x_BTD.shape[1] == 0:
            raise BadSize("a text of no token was given to Pooler, which reads the first; give at least one token.")
        return self.dense(x_BTD[:, 0]).tanh()

    def init_state(self, batch: int) -> State:
        raise BadSize("Pooler reads the first token of a whole text; it has no state: call the model on the whole.")

    def extend(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        raise BadSize(
            "Pooler reads the first token of a whole text; it cannot be extended: call the model on the whole."
        )

    def reference(self, x_BTD: Tensor) -> Tensor:
        return torch.tanh(x_BTD[:, 0] @ self.dense.weight.T + self.dense.bias)
