"""The frame of the layers that see the past only and mix no padding in: what `keep` means to all of them.

A token of padding is as good as absent: the state passes it by. So the tokens that count are moved to the front of
their row, the layer runs on them, and each result goes back to its place. That holds for every layer that sees no later
token and knows positions only by how many tokens have passed, whatever its kernel.
"""

import torch
from torch import Tensor

from seqcost.layers.core.layer import Layer, check_features, check_keep


class CausalLayer(Layer):
    """`keep` [B,T] is False for padding, wherever it stands: the tokens that count are as they are without it.

    The result at a token of padding is 0.
    """

    takes_keep = True

    def forward(self, x_BTD: Tensor, *, keep: Tensor | None = None) -> Tensor:
        check_features(self, x_BTD)
        if keep is None:
            return self.whole(x_BTD)
        check_keep(self, x_BTD, keep)
        order_BT = (~keep).to(torch.uint8).argsort(dim=1, stable=True)
        y_BTE = _taken(self.whole(_taken(x_BTD, order_BT)), order_BT.argsort(dim=1))
        return y_BTE.masked_fill(~keep.unsqueeze(-1), 0)

    def whole(self, x_BTD: Tensor) -> Tensor:
        """The whole sequence without padding; nothing is carried into it."""
        y_BTE: Tensor = self.extend(x_BTD, self.init_state(x_BTD.shape[0]))[0]
        return y_BTE


def _taken(x_BTD: Tensor, at_BT: Tensor) -> Tensor:
    return x_BTD.gather(1, at_BT.unsqueeze(-1).expand(-1, -1, x_BTD.shape[-1]))
