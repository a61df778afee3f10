"""LayerNorm and RMSNorm over torch.nn's. Letters: see formulas."""

from torch import Tensor, nn

from seqcost.formulas.parts import norm
from seqcost.layers.core.layer import Pointwise, check_features


class Norm(Pointwise):
    """See `seqcost.formulas.parts.norm`."""

    Config = norm.Norm

    def __init__(self, config: norm.Norm | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        if m.kind == "layer":
            self.norm: nn.Module = nn.LayerNorm(m.D, eps=m.epsilon, bias=m.bias)
        else:
            self.norm = nn.RMSNorm(m.D, eps=m.epsilon)

    def forward(self, x_BTD: Tensor) -> Tensor:
        check_features(self, x_BTD)
        return self.norm(x_BTD)
