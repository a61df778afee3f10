"""Gated DeltaNet: the delta rule on a state that also decays, its output behind a gate.

The decay is Mamba-2's, one number per head and token: it empties the whole state at once, where the delta rule replaces
what stands under one key.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.parts.delta import Delta


@dataclass(frozen=True, kw_only=True)
class GatedDeltaNet(Delta):
    """The delta rule on a state that decays, with a gate on the output.

    D width · H heads · K width of a key (default D/H) · V width of a value (default K) · C chunk ·
    k taps of the short convolution.
    """

    SOURCE: ClassVar[str] = (
        "Yang et al. 2024, arXiv 2412.06464, sections 3.1, 3.3 (the chunks) and 3.4 (the layer); the decay: Dao & Gu "
        "2024, arXiv 2405.21060"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"[q, k, v] = \mathrm{SiLU}(\mathrm{conv}_k(x\, [W_q, W_k, W_v])),\quad \beta = \sigma(x W_\beta)",
        r"\hat q = q/|q|,\quad \hat k = k/|k|,\quad a = \exp(-e^{r}\, \mathrm{softplus}(x W_a + b_a))",
        r"S_t = a_t (I - \beta_t \hat k_t \hat k_t^\top)\, S_{t-1} + \beta_t \hat k_t v_t^\top",
        r"y_t = (\mathrm{RMSNorm}(S_t^\top \hat q_t) \odot \mathrm{SiLU}(x W_g))\, W_o",
    )

    def params(self) -> Bill:
        return super().params() + Bill.of(
            Kind.PARAMETERS,
            decay=(self.D * self.H, "W_a"),
            decay_bias=(self.H, "b_a"),
            rate=(self.H, "r"),
            gate=(self.D * self.H * self.V, "W_g"),
        )

    def log_decay(self, t: Tape, x: Value) -> Value | None:
        B, T, _ = x.shape
        steps = t.float32("decay_float32", t.linear("decay", x, self.H, note="x W_a + b_a"))
        rows_RH = t.view(steps, B * T, self.H)
        rate = t.unary("minus_rate", t.unary("rate_exp", t.float32("rate_float32", t.weight(self.H)), "exp"), "neg")
        steps = t.view(t.unary("softplus", rows_RH, "softplus"), B, T, self.H)
        return t.multiply("log_decay", rate, steps, "log a = −exp(r) softplus(·)")

    def gated(self, t: Tape, x: Value, y: Value) -> Value:
        gate = t.unary("gate_silu", t.linear("gate", x, self.H * self.V, bias=False, note="x W_g"), "silu")
        return t.multiply("gated", y, gate, "y ⊙ SiLU(x W_g)")
