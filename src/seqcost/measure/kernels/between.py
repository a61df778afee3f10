"""What runs between two launches that are timed: other operators, as a model has them.

A launch that follows itself finds its code in the nearest caches and its branches foretold, and where little is
computed it takes half of the time that it takes in a model, whose operators are of some thirty kinds. So each launch is
timed after these.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Between:
    """Some thirty operators on little tensors; call it without gradients."""

    def __init__(self) -> None:
        self._x, self._weight, self._ones = torch.randn(64, 64), torch.randn(64, 64), torch.ones(64)
        self._ids, self._heads = torch.arange(16), torch.randn(1, 4, 16, 16)
        self._linear, self._norm = nn.Linear(64, 64), nn.LayerNorm(64)

    def __call__(self) -> None:
        """All of them once."""
        with torch.no_grad():
            self._run()

    def _run(self) -> None:
        x, heads = self._x, self._heads
        y = F.linear(F.layer_norm(x, (64,), self._ones, self._ones), self._weight)
        y = y.view(8, 8, 64).transpose(0, 1).contiguous().softmax(-1)
        F.silu(torch.cat((y, y), 0) * 2)
        F.scaled_dot_product_attention(heads, heads, heads)
        torch.bmm(heads[0], heads[0])
        F.embedding(self._ids, self._weight)
        y = self._norm(self._linear(x)).cumsum(0).exp()
        y = torch.where(y > 1, y, -y).sum(-1, keepdim=True).sqrt()
        torch.stack((y, y), 0).unbind(0)
        torch.arange(16, dtype=torch.float32).cos()
        x[:, :32].pow(2).mean(-1)
        a, b = x.chunk(2, -1)
        torch.addcmul(a, a, b).tanh()
        F.pad(x.to(torch.float64), (1, 0))
