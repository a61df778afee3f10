"""Diffusion Transformer. Letters: see formulas."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.stacks import dit
from seqcost.layers.core.layer import WholeLayer
from seqcost.layers.mixers.attention import Attention
from seqcost.layers.parts.feed_forward import FeedForward
from seqcost.layers.parts.patches import PatchEmbedding
from seqcost.layers.parts.rope import rope_frequency


class Condition(WholeLayer):
    """Times [B] and labels [B] → SiLU(c) [B,1,D]; label `classes` stands for none."""

    Config = dit.Condition
    frequency: Tensor

    def __init__(self, config: dit.Condition | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.time_in = nn.Linear(dit.TIME_FEATURES, m.D)
        self.time_out = nn.Linear(m.D, m.D)
        self.labels = nn.Embedding(m.classes + 1, m.D)
        for weight in (self.time_in.weight, self.time_out.weight, self.labels.weight):
            nn.init.normal_(weight, std=0.02)
        self.make_constants()

    def constants(self) -> dict[str, Tensor | None]:
        exact = rope_frequency(dit.TIME_FEATURES, 10000.0, self.time_in.weight.device)
        return {"frequency": exact.to(self.time_in.weight.device, torch.float32)}  # times are below a thousand or so

    def forward(self, time_B: Tensor, label_B: Tensor) -> Tensor:
        angle = time_B.to(torch.float32)[:, None] * self.frequency
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1).to(self.time_in.weight.dtype)
        c_BD = self.time_out(F.silu(self.time_in(waves))) + self.labels(label_B)
        return F.silu(c_BD.unsqueeze(1))

    def reference(self, time_B: Tensor, label_B: Tensor) -> Tensor:
        return self(time_B, label_B)


class DiTBlock(WholeLayer):
    """See `seqcost.formulas.stacks.dit`. Starts as the identity."""

    Config = dit.DiTBlock

    def __init__(self, config: dit.DiTBlock | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.modulation = _zeros(nn.Linear(m.D, 6 * m.D))
        self.attention = Attention(m.attention)
        self.feed_forward = FeedForward(m.feed_forward)

    def forward(self, x_BTD: Tensor, silu_B1D: Tensor, *, keep: Tensor | None = None) -> Tensor:
        shift, scale, gate, shift_f, scale_f, gate_f = self.modulation(silu_B1D).chunk(6, dim=-1)
        x_BTD = x_BTD + gate * self.attention(_modulated(x_BTD, shift, scale), keep=keep)
        return x_BTD + gate_f * self.feed_forward(_modulated(x_BTD, shift_f, scale_f))

    def reference(self, x_BTD: Tensor, silu_B1D: Tensor) -> Tensor:
        six = [part.squeeze(1) for part in self.modulation(silu_B1D).chunk(6, dim=-1)]
        for f, (shift_BD, scale_BD, gate_BD) in ((self.attention, six[:3]), (self.feed_forward, six[3:])):
            modulated = [_normalised(x_BD) * (1 + scale_BD) + shift_BD for x_BD in x_BTD.unbind(1)]
            y_BTD = f.reference(torch.stack(modulated, dim=1))
            x_BTD = torch.stack([x + gate_BD * y for x, y in zip(x_BTD.unbind(1), y_BTD.unbind(1), strict=True)], dim=1)
        return x_BTD


class DiTFinal(WholeLayer):
    """See `seqcost.formulas.stacks.dit`. Starts with 0."""

    Config = dit.DiTFinal

    def __init__(self, config: dit.DiTFinal | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.modulation = _zeros(nn.Linear(m.D, 2 * m.D))
        self.project = _zeros(nn.Linear(m.D, m.features))

    def forward(self, x_BTD: Tensor, silu_B1D: Tensor) -> Tensor:
        shift, scale = self.modulation(silu_B1D).chunk(2, dim=-1)
        return self.project(_modulated(x_BTD, shift, scale))

    def reference(self, x_BTD: Tensor, silu_B1D: Tensor) -> Tensor:
        shift_BD, scale_BD = self.modulation(silu_B1D.squeeze(1)).chunk(2, dim=-1)
        rows = [self.project(_normalised(x_BD) * (1 + scale_BD) + shift_BD) for x_BD in x_BTD.unbind(1)]
        return torch.stack(rows, dim=1)


class DiT(WholeLayer):
    """See `seqcost.formulas.stacks.dit`.

    Latents [B,channels,height,width] → [B,outputs,height,width]; or their patches → patches [B,T,patch²·outputs], the
    features of a result's patch pixel by pixel. `time` [B] and `label` [B] are whole numbers; label `classes` is none.
    `keep` [B,T] is False for patches that do not count.
    """

    Config = dit.DiT
    takes_keep = True

    def __init__(self, config: dit.DiT | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m, links = self.config, self.config.chain.links
        self.condition = Condition(m.condition)
        self.patches = PatchEmbedding(links[0][1])
        self.blocks = nn.ModuleList(DiTBlock(m.block) for _ in range(m.L))
        self.final = DiTFinal(links[2][1])

    def forward(self, x: Tensor, time: Tensor, label: Tensor, *, keep: Tensor | None = None) -> Tensor:
        x_BTD, silu_B1D = self.patches(x), self._condition(x, time, label)
        for block in self.blocks:
            x_BTD = block(x_BTD, silu_B1D, keep=keep)
        y_BTO = self.final(x_BTD, silu_B1D)
        return self._image(y_BTO, x.shape[2], x.shape[3]) if x.dim() == 4 else y_BTO

    def _condition(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        for name, given in (("time", time), ("label", label)):
            if given.shape != x.shape[:1]:
                raise BadSize(f"DiT: {name} of shape {tuple(given.shape)} was given; [{x.shape[0]}] is allowed.")
        return self.condition(time, label)

    def _image(self, y_BTO: Tensor, height: int, width: int) -> Tensor:
        """Patches put back where they were cut."""
        p = self.config.patch
        rows = y_BTO.view(-1, height // p, width // p, p, p, self.config.outputs)
        return rows.permute(0, 5, 1, 3, 2, 4).reshape(-1, self.config.outputs, height, width)

    def reference(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """Each token by itself, but for attention."""
        x_BTD, silu_B1D = self.patches.reference(x), self._condition(x, time, label)
        for block in self.blocks.children():
            assert isinstance(block, DiTBlock)
            x_BTD = block.reference(x_BTD, silu_B1D)
        return self.final.reference(x_BTD, silu_B1D)

    def example_inputs(self, B: int, T: int, S: int | None = None) -> tuple[Tensor, ...]:
        x = super().example_inputs(B, T)[0]
        time = torch.randint(0, 1000, (B,), device=x.device)
        return x, time, torch.randint(0, self.config.classes, (B,), device=x.device)


def _normalised(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def _modulated(x_BTD: Tensor, shift_B1D: Tensor, scale_B1D: Tensor) -> Tensor:
    return _normalised(x_BTD) * (1 + scale_B1D) + shift_B1D


def _zeros(linear: nn.Linear) -> nn.Linear:
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
