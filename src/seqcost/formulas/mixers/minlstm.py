"""Minimal long short-term memory: gates that do not look at the state and add up to 1; a scan replaces the loop.

f' = f/(f + i) is computed as σ(log f − log i), which is defined where both gates are 0 to float32. The recurrence runs
in linear space, in two levels (`formulas.ops.scan`); the paper's listing runs it in log-space, which loses accuracy in
proportion to T. The candidate is kept above 0 by g, as that listing needs it.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.parts.minimal import Minimal, positive


@dataclass(frozen=True, kw_only=True)
class MinLstm(Minimal):
    """Forget and input gates that add up to 1. D width, N hidden width (default D), C tokens of a chunk of the scan."""

    SOURCE: ClassVar[str] = "Feng et al. 2024, arXiv 2410.01201, section 3.2 and appendix B.3 (g)"
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"f_t = \sigma(W_f x_t),\quad i_t = \sigma(W_i x_t),\quad \tilde h_t = g(W_h x_t)",
        r"f'_t = \frac{f_t}{f_t + i_t},\quad i'_t = \frac{i_t}{f_t + i_t}",
        r"h_t = f'_t \odot h_{t-1} + i'_t \odot \tilde h_t",
        r"g(x) = x + \tfrac12 \;\text{where}\; x \ge 0,\ \text{else}\ \sigma(x)",
    )
    PIECES: ClassVar[int] = 3
    PIECES_NOTE: ClassVar[str] = "W_h x, W_f x, W_i x: three matrix-vector products per token"

    def recurrence(self, t: Tape, pieces: list[Value]) -> tuple[Value, Value]:
        candidate, forget, write = pieces

        def log_gate(name: str, gate: Value) -> Value:
            return t.unary(f"{name}_log", t.unary(f"{name}_negative", gate, "neg", "−x"), "softplus", "−log σ(x)")

        share = t.subtract("gate_difference", log_gate("write", write), log_gate("forget", forget), "log f − log i")
        decay = t.unary("decay", share, "sigmoid", "f'")
        del share
        rest = t.unary("write", decay, "complement-whole", "i' = 1 − f'")
        return decay, t.multiply("update", rest, positive(t, candidate), "i' ⊙ h̃")
