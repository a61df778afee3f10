"""Rows brought to length 1, to a mean square of 1 or to a deviation of 1, on a tape.

Twins of `seqcost.layers.ops.row_norms`. The first two are small operators, as a CPU executes them: PyTorch has no
fused kernel for either there. The third is one kernel, which keeps its input and two numbers a row.
"""

from seqcost.formulas.core import pointwise
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value, product


def l2_norm(t: Tape, name: str, x: Value) -> Value:
    """Each row over its length: x / √(Σ x² + ε)."""
    total = t.sum(f"{name}_sum", t.unary(f"{name}_square", x, "square", note="x²"), -1, keep=True, note="Σ x² of a row")
    return _divided(t, name, x, t.unary(f"{name}_epsilon", total, "shift", note="+ ε"))


def rms_norm(t: Tape, name: str, x: Value) -> Value:
    """Each row over its root mean square: x / √(mean x² + ε), brought to numbers of at most 1 before."""
    sizes = t.unary(f"{name}_sizes", t.detach(x), "abs")
    most = t.operator(
        f"{name}_most", [sizes], (*x.shape[:-1], ONE), pointwise=x.numel, itemsize=x.storage.itemsize, note="max |x|"
    )
    share = t.unary(f"{name}_share", t.unary(f"{name}_most_or_1", most, "shift", note="or 1"), "reciprocal")
    x = t.multiply(f"{name}_scaled", x, share, note="x / max |x|")
    mean = t.mean(f"{name}_mean", t.unary(f"{name}_square", x, "square", note="x²"), -1, keep=True, note="mean of x²")
    epsilon = t.unary(f"{name}_epsilon", t.unary(f"{name}_share_square", share, "square"), "scale", note="ε as scaled")
    return _divided(t, name, x, t.add(f"{name}_shifted", mean, epsilon, note="+ ε"))


def group_norm(t: Tape, name: str, x: Value) -> Value:
    """GroupNorm with a group a row and no weights: (x − μ)/σ."""
    rows = x.shape[:-1]
    size = x.storage.itemsize
    out = t.operator(
        name, [x], x.shape, rows, rows, pointwise=pointwise.NORM * x.numel, keeps=[(x, None)], itemsize=size,
        backward=lambda _: [Operator(name=f"{name}_backward", pointwise=pointwise.NORM_BACKWARD * x.numel)],
        note="(x − μ)/σ of each row",
    )  # fmt: skip
    if x.needs_gradient:
        t.keep_besides(f"{name}_statistics", 2 * product(rows), size)  # mean and 1/σ
    return out


def _divided(t: Tape, name: str, x: Value, size: Value) -> Value:
    return t.multiply(name, x, t.unary(f"{name}_rsqrt", size, "rsqrt", note="1/√"), note="x / its size")
