"""Vision Transformer: a chain whose first link makes an image a sequence. Letters: see formulas."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from seqcost.layers.stacks.chain import Chain


class ViT(Chain):
    """Images [B,channels,height,width], or their patches [B,T,patch²·channels] → logits [B, classes].

    `keep` [B,T] is False for patches that do not count; the class token always does.
    """

    def forward(self, x: Tensor, *others: Any, keep: Tensor | None = None, **masks: Any) -> Tensor:
        return super().forward(x, keep=None if keep is None else F.pad(keep, (1, 0), value=True))
