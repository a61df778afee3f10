"""TTT-MLP: the hidden state of a head is a two-layer network, trained on the sequence while it is read."""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Size
from seqcost.formulas.core.component import check_sizes
from seqcost.formulas.parts.ttt import Ttt


@dataclass(frozen=True, kw_only=True)
class TttMlp(Ttt):
    """Test-time training of f(h) = GELU(h W_1 + b_1) W_2 + b_2 in every head.

    D width · H heads · K width of a head (default D/H) · N hidden width of f (default 4·K) · C tokens of a mini-batch.
    `base_rate` is η, the learning rate before the tokens' own; `gate` multiplies the result by GELU(x W_g).
    """

    SOURCE: ClassVar[str] = (
        "Sun et al. 2024, arXiv 2407.04620, section 2; rates of the places, division by K and the norm after the heads "
        "as in the authors' code, github.com/test-time-training/ttt-lm-pytorch"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"q_j, k_j = \mathrm{RoPE}_{j \bmod C}(x_j W_q), \mathrm{RoPE}_{j \bmod C}(x_j W_k),\quad v_j = x_j W_v",
        r"r_j = \frac{\eta}{K}\,\sigma(x_j W_r + b_r),\quad t_i = \max(0, \tfrac{1}{i} + \tau_i)",
        r"f(h; W) = \mathrm{GELU}(h W_1 + b_1) W_2 + b_2",
        r"\ell_j(W) = \tfrac{1}{2} \left\| \mathrm{LN}(f(k_j; W)) - (v_j - k_j) \right\|^2",
        r"W_i = W - t_i \sum_{j \le i} r_j \nabla \ell_j(W)",
        r"y_i = \mathrm{Norm}\left(q_i + \mathrm{LN}(f(q_i; W_i))\right) W_o",
    )

    N: Size = None
    base_rate: float = 0.1  # the authors' script for TTT-MLP; 1 for TTT-Linear

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.N is None:
            object.__setattr__(self, "N", 4 * self.K)
        check_sizes(self, "N")

    @property
    def inner(self) -> tuple[tuple[str, Size, Size], ...]:
        return (("inner_up", self.K, self.N), ("inner_down", self.N, self.K))
