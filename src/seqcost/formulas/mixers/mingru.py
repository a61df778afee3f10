"""Minimal gated recurrent unit: a GRU whose gate does not look at the state, so that a scan replaces the loop.

The recurrence runs in linear space, in two levels (`formulas.ops.scan`); the paper's listing runs it in log-space,
which loses accuracy in proportion to T. The candidate is kept above 0 by g, as that listing needs it.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.parts.minimal import Minimal, positive


@dataclass(frozen=True, kw_only=True)
class MinGru(Minimal):
    """One gate and a candidate state. D width, N hidden width (default D), C tokens of a chunk of the scan."""

    SOURCE: ClassVar[str] = "Feng et al. 2024, arXiv 2410.01201, section 3.1 and appendix B.3 (g)"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"z_t = \sigma(W_z x_t),\quad \tilde h_t = g(W_h x_t)",
        r"h_t = (1 - z_t) \odot h_{t-1} + z_t \odot \tilde h_t",
        r"g(x) = x + \tfrac12 \;\text{where}\; x \ge 0,\ \text{else}\ \sigma(x)",
    )
    PIECES: ClassVar[int] = 2
    PIECES_NOTE: ClassVar[str] = "W_h x, W_z x: two matrix-vector products per token"

    def recurrence(self, t: Tape, pieces: list[Value]) -> tuple[Value, Value]:
        candidate, gate = pieces
        z = t.unary("gate", gate, "sigmoid", "σ")
        decay = t.unary("decay", z, "complement-whole", "1 − z")
        return decay, t.multiply("update", z, positive(t, candidate), "z ⊙ g(W_h x)")
