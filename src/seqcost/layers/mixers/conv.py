"""1-D convolution over the sequence: causal or centred, full, depthwise or separable. Letters: see formulas."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.mixers import conv
from seqcost.layers.core.causal import CausalLayer
from seqcost.layers.core.layer import check_features, check_keep
from seqcost.layers.core.state import State, empty


@dataclasses.dataclass(frozen=True)
class Columns(State):
    """The last R = (W−1)·dilation tokens [B,R,D], zeros before the first."""

    x_BRD: Tensor


class Conv(CausalLayer):
    """See `seqcost.formulas.mixers.conv`. `keep` [B,T] is False for padding: absent, or 0 with causal=False."""

    Config = conv.Conv

    def __init__(self, config: conv.Conv | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        separable = m.kind == "separable"
        self.kernel = nn.Conv1d(
            m.D,
            m.D,
            m.W,
            dilation=m.dilation,
            groups=1 if m.kind == "full" else m.D,
            bias=m.bias and not separable,
        )
        self.mix = nn.Linear(m.D, m.D, bias=m.bias) if separable else None

    def forward(self, x_BTD: Tensor, *, keep: Tensor | None = None) -> Tensor:
        if self.config.causal:
            return super().forward(x_BTD, keep=keep)
        check_features(self, x_BTD)
        if keep is not None:
            check_keep(self, x_BTD, keep)
            x_BTD = x_BTD.masked_fill(~keep[..., None], 0)
        return self.whole(x_BTD)

    def whole(self, x_BTD: Tensor) -> Tensor:
        return self._taps(F.pad(x_BTD, (0, 0, *self._borders())))

    def init_state(self, batch: int) -> Columns:
        m = self.config
        if not m.causal:
            raise BadSize("conv with causal=False sees the future and has no state; call it on the whole sequence.")
        return Columns(empty(batch, m.reach, m.D, like=self.kernel.weight))

    def extend(self, x_BTD: Tensor, state: Columns) -> tuple[Tensor, Columns]:
        check_features(self, x_BTD)
        columns_BRD = torch.cat([state.x_BRD, x_BTD], dim=1)
        # A copy: a view would keep the whole text in memory.
        carried_BRD = columns_BRD[:, x_BTD.shape[1] :].clone(memory_format=torch.contiguous_format)
        return self._taps(columns_BRD), Columns(carried_BRD)

    def _borders(self) -> tuple[int, int]:
        """Zeros before the first and after the last token."""
        m = self.config
        return (m.reach, 0) if m.causal else (m.reach // 2, m.reach // 2)

    def _taps(self, columns_BRD: Tensor) -> Tensor:
        if columns_BRD.shape[1] == self.config.reach:  # no token: the kernel refuses an empty result
            return columns_BRD[:, :0]
        y_BTD = self.kernel(columns_BRD.transpose(1, 2)).transpose(1, 2).clone(memory_format=torch.contiguous_format)
        return y_BTD if self.mix is None else self.mix(y_BTD)

    def reference(self, x_BTD: Tensor) -> Tensor:
        """One token at a time, one tap at a time."""
        m = self.config
        before, _ = self._borders()
        weight, bias = self.kernel.weight, self.kernel.bias
        tokens = []
        for t in range(x_BTD.shape[1]):
            y_BD = torch.zeros_like(x_BTD[:, 0]) if bias is None else bias.expand_as(x_BTD[:, 0])
            for j in range(m.W):
                s = t - before + j * m.dilation
                if 0 <= s < x_BTD.shape[1]:
                    tap = x_BTD[:, s] @ weight[:, :, j].T if m.kind == "full" else x_BTD[:, s] * weight[:, 0, j]
                    y_BD = y_BD + tap
            tokens.append(y_BD if self.mix is None else self.mix(y_BD))
        return torch.stack(tokens, dim=1)
