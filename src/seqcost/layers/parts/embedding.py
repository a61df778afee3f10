"""Token embedding. Letters: see formulas."""

from typing import Any

import torch
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.parts import embedding
from seqcost.layers.core.layer import Pointwise


class Embedding(Pointwise):
    """Token ids [B,T] → [B,T,D]."""

    Config = embedding.Embedding

    def __init__(self, config: embedding.Embedding | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.weight = nn.Parameter(torch.empty(m.U, m.D))
        # A tied head multiplies by this table: unit rows give logits of order one.
        nn.init.normal_(self.weight, std=m.D**-0.5)

    def forward(self, ids_BT: Tensor) -> Tensor:
        if ids_BT.dim() != 2 or ids_BT.is_floating_point():
            raise BadSize(
                f"Embedding: input of shape {tuple(ids_BT.shape)} and {ids_BT.dtype} was given; "
                "whole-number token ids [batch, tokens] are allowed."
            )
        return nn.functional.embedding(ids_BT, self.weight)

    def reference(self, x: Tensor, *others: Any, **options: Any) -> Tensor:
        return self.weight[x]

    def example_inputs(self, B: int, T: int, S: int | None = None) -> tuple[Tensor, ...]:
        return (torch.randint(0, self.config.U, (B, T), device=self.weight.device),)
