"""One vector per sequence, then the classes. Letters: see formulas."""

from typing import Any

import torch
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.parts import classify
from seqcost.layers.core.layer import Layer, check_features, check_keep
from seqcost.layers.core.state import State

_WHOLE = "A classifier reads a whole sequence; it has no state: call it on the whole."


class ClassHead(Layer):
    """[B,T,D] → [B, classes]. `keep` [B,T] is False for padding: out of the mean, never first or last."""

    Config = classify.ClassHead
    takes_keep = True

    def __init__(self, config: classify.ClassHead | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        self.dense = nn.Linear(self.config.D, self.config.classes)

    def forward(self, x_BTD: Tensor, *, keep: Tensor | None = None) -> Tensor:
        check_features(self, x_BTD)
        if x_BTD.shape[1] == 0:
            raise BadSize("a sequence of no token was given to a classifier; give at least one token.")
        if keep is not None:
            check_keep(self, x_BTD, keep)
        return self.dense(self._pooled(x_BTD, keep))

    def _pooled(self, x_BTD: Tensor, keep: Tensor | None) -> Tensor:
        pool = self.config.pool
        if keep is None:
            return x_BTD.mean(1) if pool == "mean" else x_BTD[:, 0 if pool == "first" else -1]
        if pool == "mean":
            return x_BTD.masked_fill(~keep[..., None], 0).sum(1) / keep.sum(1, keepdim=True).clamp_min(1)
        if pool == "first":
            at_B = keep.to(torch.uint8).argmax(1)
        else:
            at_B = keep.shape[1] - 1 - keep.flip(1).to(torch.uint8).argmax(1)
        return x_BTD.take_along_dim(at_B.view(-1, 1, 1), dim=1).squeeze(1)

    def init_state(self, batch: int, *others: Any, **options: Any) -> State:
        raise BadSize(_WHOLE)

    def extend(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        raise BadSize(_WHOLE)

    def reference(self, x_BTD: Tensor) -> Tensor:
        """One sequence at a time."""
        T = x_BTD.shape[1]
        rows = []
        for x_TD in x_BTD.unbind(0):
            pooled = {"first": x_TD[0], "last": x_TD[-1], "mean": sum(x_TD.unbind(0)) / T}[self.config.pool]
            rows.append(self.dense.weight @ pooled + self.dense.bias)
        return torch.stack(rows)
