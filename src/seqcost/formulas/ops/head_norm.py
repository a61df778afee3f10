"""Normalisation of each head's output on its own, on a tape: twins of `seqcost.layers.ops.head_norm`.

GroupNorm with a group a head and no weights is LayerNorm over each head's V features: one fused kernel, which keeps its
input and two numbers a head. RMSNorm is five small operators on a CPU.
"""

from seqcost.algebra import Size
from seqcost.formulas.ops import pointwise
from seqcost.formulas.ops.operator import Operator
from seqcost.formulas.ops.tape import Tape
from seqcost.formulas.ops.values import Storage, Value, product


def group_norm(t: Tape, name: str, y: Value) -> Value:
    """(y − μ)/σ over the last axis."""
    rows: tuple[Size, ...] = y.shape[:-1]
    size = y.storage.itemsize
    out = t.operator(
        name, [y], y.shape, rows, rows, pointwise=pointwise.NORM * y.numel, keeps=[(y, None)], itemsize=size,
        backward=lambda _: [Operator(name=f"{name}_backward", pointwise=pointwise.NORM_BACKWARD * y.numel)],
        note="(y − μ)/σ of each head",
    )  # fmt: skip
    if y.needs_gradient:
        t.kept[Storage(f"{name}_statistics", 2 * product(rows), size)] = None  # mean and 1/σ
    return out


def rms_norm(t: Tape, name: str, y: Value) -> Value:
    """Y / √(mean y² + ε) over the last axis, without a gain."""
    mean = t.mean(f"{name}_mean", t.unary(f"{name}_square", y, "square"), -1, keep=True, note="of y² over V")
    root = t.unary(f"{name}_root", t.unary(f"{name}_epsilon", mean, "shift"), "rsqrt")
    return t.multiply(name, y, root, "y / rms(y) of each head")
