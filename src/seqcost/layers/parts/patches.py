"""Images or patches to tokens. Letters: see formulas."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.parts import patches
from seqcost.layers.core.layer import WholeLayer
from seqcost.layers.parts.rope import angles, rope_frequency


class PatchEmbedding(WholeLayer):
    """See `seqcost.formulas.parts.patches`. Takes images [B,channels,height,width], or the patches that `cut` makes.

    The patches of an image stand row by row, each with its features channel by channel.
    """

    Config = patches.PatchEmbedding
    positions: Tensor

    def __init__(self, config: patches.PatchEmbedding | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.project = nn.Conv2d(m.channels, m.D, m.patch, stride=m.patch)
        self.class_token = nn.Parameter(torch.randn(m.D) * 0.02) if m.class_token else None
        if m.positions == "learned":
            self.positions = nn.Parameter(torch.randn(m.M + m.more, m.D) * 0.02)
        else:
            self.make_constants()

    def constants(self) -> dict[str, Tensor | None]:
        m, weight = self.config, self.project.weight
        if m.positions == "learned":
            return {}
        return {"positions": grid_positions(math.isqrt(m.M), m.D).to(weight.device, weight.dtype)}

    def forward(self, x: Tensor) -> Tensor:
        m = self.config
        if x.dim() == 4 and x.shape[1] == m.channels and not (x.shape[2] % m.patch or x.shape[3] % m.patch):
            tokens_BTD = self.project(x).flatten(2).transpose(1, 2)
        elif x.dim() == 3 and x.shape[-1] == m.width_in:
            tokens_BTD = F.linear(x, self.project.weight.flatten(1), self.project.bias)
        else:
            raise BadSize(
                f"PatchEmbedding: input of shape {tuple(x.shape)} was given; [batch, tokens, {m.width_in}] is allowed, "
                f"or images [batch, {m.channels}, height, width] with sides that divide by {m.patch}."
            )
        T = tokens_BTD.shape[1]
        if T > m.M:
            raise BadSize(
                f"{T} patches were given to a table of {m.M} positions; give at most M = {m.M} or a larger M."
            )
        if self.class_token is not None:
            tokens_BTD = torch.cat([self.class_token.expand(x.shape[0], 1, m.D), tokens_BTD], dim=1)
        return tokens_BTD + self.positions[: T + m.more]

    def cut(self, images_BCHW: Tensor) -> Tensor:
        """Images to patches [B,T,patch²·channels]."""
        return F.unfold(images_BCHW, self.config.patch, stride=self.config.patch).transpose(1, 2)

    def reference(self, x: Tensor) -> Tensor:
        """One patch at a time."""
        m = self.config
        tokens = [] if self.class_token is None else [self.class_token.expand(x.shape[0], m.D)]
        weight_DI = self.project.weight.view(m.D, m.width_in)
        tokens += [F.linear(x_BI, weight_DI, self.project.bias) for x_BI in x.unbind(1)]
        return torch.stack([token + self.positions[t] for t, token in enumerate(tokens)], dim=1)


def grid_positions(side: int, D: int) -> Tensor:
    """Sines and cosines of the column, then of the row, of side² patches row by row: [side², D]."""
    angle = angles(0, side, rope_frequency(D // 2, 10000.0, torch.device("cpu")))
    line = torch.cat([angle.sin(), angle.cos()], dim=-1)  # [side, D/2]
    column, row = line.expand(side, side, D // 2), line[:, None].expand(side, side, D // 2)
    return torch.cat([column, row], dim=-1).flatten(0, 1)
