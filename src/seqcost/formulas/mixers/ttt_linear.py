"""TTT-Linear: the hidden state of a head is a linear model, trained on the sequence while it is read."""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Size
from seqcost.formulas.parts.ttt import Ttt


@dataclass(frozen=True, kw_only=True)
class TttLinear(Ttt):
    """Test-time training of f(h) = h W + b in every head.

    D width · H heads · K width of a head (default D/H) · C tokens of a mini-batch. `base_rate` is η, the learning rate
    before the tokens' own; `gate` multiplies the result by GELU(x W_g).
    """

    SOURCE: ClassVar[str] = (
        "Sun et al. 2024, arXiv 2407.04620, section 2; rates of the places, division by K and the norm after the heads "
        "as in the authors' code, github.com/test-time-training/ttt-lm-pytorch"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"q_j, k_j = \mathrm{RoPE}_{j \bmod C}(x_j W_q), \mathrm{RoPE}_{j \bmod C}(x_j W_k),\quad v_j = x_j W_v",
        r"r_j = \frac{\eta}{K}\,\sigma(x_j W_r + b_r),\quad t_i = \max(0, \tfrac{1}{i} + \tau_i)",
        r"\ell_j(W) = \tfrac{1}{2} \left\| \mathrm{LN}(f(k_j; W)) - (v_j - k_j) \right\|^2,\quad f(h; W) = h W + b",
        r"W_i = W - t_i \sum_{j \le i} r_j \nabla \ell_j(W)",
        r"y_i = \mathrm{Norm}\left(q_i + \mathrm{LN}(f(q_i; W_i))\right) W_o",
    )

    @property
    def inner(self) -> tuple[tuple[str, Size, Size], ...]:
        return (("inner", self.K, self.K),)
