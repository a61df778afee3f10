"""Rows brought to length 1 or to a mean square of 1, on a tape: twins of `seqcost.layers.ops.row_norms`.

Five small operators, as a CPU executes them: PyTorch has no fused kernel for either there.
"""

from seqcost.formulas.ops.tape import Tape
from seqcost.formulas.ops.values import Value


def l2_norm(t: Tape, name: str, x: Value) -> Value:
    """Each row over its length: x / √(Σ x² + ε)."""
    total = t.sum(f"{name}_sum", t.unary(f"{name}_square", x, "square", note="x²"), -1, keep=True, note="Σ x² of a row")
    return _divided(t, name, x, total)


def rms_norm(t: Tape, name: str, x: Value) -> Value:
    """Each row over its root mean square: x / √(mean x² + ε)."""
    squares = t.unary(f"{name}_square", x, "square", note="x²")
    return _divided(t, name, x, t.mean(f"{name}_mean", squares, -1, keep=True, note="mean of x² of a row"))


def _divided(t: Tape, name: str, x: Value, size: Value) -> Value:
    shifted = t.unary(f"{name}_epsilon", size, "shift", note="+ ε")
    return t.multiply(name, x, t.unary(f"{name}_rsqrt", shifted, "rsqrt", note="1/√"), note="x / its size")
