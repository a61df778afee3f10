"""Rows brought to length 1, to a mean square of 1 or to a deviation of 1, on a tape.

Twins of `seqcost.layers.ops.row_norms`. The first two are small operators, as a CPU executes them: PyTorch has no
fused kernel for either there. The third is one kernel, which keeps its input and two numbers per row.
"""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra.work import Kernel
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.buffers import layer_norm_backward_bytes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value, product


def l2_norm(t: Tape, name: str, x: Value) -> Value:
    """Each row over its length: x / √(Σ x² + ε)."""

    def total() -> Value:
        square = t.unary(f"{name}_square", x, "square", "x²")
        return t.sum(f"{name}_sum", square, -1, keep=True, note="Σ x² of a row")

    size = t.unary(f"{name}_rsqrt", t.unary(f"{name}_epsilon", total(), "shift", "+ ε"), "rsqrt", "1/√")
    return t.multiply(name, x, size, "x / its size")


def rms_norm(t: Tape, name: str, x: Value) -> Value:
    """Each row over its root mean square: x / √(mean x² + ε), brought to numbers of at most 1 before."""
    most = t.largest(f"{name}_most", t.unary(f"{name}_sizes", t.detach(x), "abs"), "max |x|")
    most = t.pointwise(f"{name}_most_or_1", [most], 1, "or 1", operator="clamp_min")
    share = t.unary(f"{name}_share", most, "reciprocal")
    del most
    x = t.multiply(f"{name}_scaled", x, share, "x / max |x|")

    def shifted() -> Value:
        mean = t.mean(f"{name}_mean", t.unary(f"{name}_square", x, "square", "x²"), -1, keep=True, note="mean of x²")
        epsilon = t.unary(f"{name}_epsilon", t.unary(f"{name}_share_square", share, "square"), "scale", "ε as scaled")
        return t.add(f"{name}_shifted", mean, epsilon, "+ ε")

    return t.multiply(name, x, t.unary(f"{name}_rsqrt", shifted(), "rsqrt", "1/√"), "x / its size")


def group_norm(t: Tape, name: str, x: Value) -> Value:
    """GroupNorm with one group per row and no weights: (x − μ)/σ."""
    return layer_norm(t, name, x, note="(x − μ)/σ of each row")


def layer_norm(t: Tape, name: str, x: Value, *weights: Value, result: str = "", note: str = "") -> Value:
    """(x − μ)/σ of each row in one kernel, with a gain and a shift, or a gain, or neither.

    The mean and 1/σ of each row come out besides, for the way back. What does not lie in one piece is copied.
    `result` names the memory of what comes out, where it is not that of the kernel.
    """
    *front, D = shape = x.shape
    rows, n, size = product(front), x.numel, x.storage.itemsize
    y = t.new(result or name, shape, size)
    mean, deviation = t.new("statistics", (rows,), size), t.new("statistics", (rows,), size)
    forward = (0, pointwise.SCALE, pointwise.SCALE + pointwise.SHIFT)[len(weights)]
    back = (0, pointwise.SCALE_BACKWARD, pointwise.SCALE_BACKWARD + pointwise.SHIFT_BACKWARD)[len(weights)]
    t.launch(
        name, Kernel.NORM, [x, *weights], [y, mean, deviation], operator="native_layer_norm", sizes=(rows, D),
        pointwise=(pointwise.NORM + forward) * n, buffer=t.copy_bytes(x), note=note or "γ (x − μ)/σ + β",
    )  # fmt: skip

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        dx = t.new("dx", shape, size) if wanted[0] else None
        dweights = [t.new("dweight", (D,)) if w else None for w in wanted[1:]]
        adds_up = layer_norm_backward_bytes(D, t.run.itemsize, t.run.threads) if any(wanted[1:]) else 0
        t.launch(
            f"{name}_backward", Kernel.NORM, [g, *kept], [v for v in (dx, *dweights) if v is not None],
            operator="native_layer_norm_backward", sizes=(rows, D),
            pointwise=((pointwise.NORM_BACKWARD if wanted[0] else 0) + back) * n,
            buffer=t.copy_bytes(g, kept[0]) + adds_up, note="dx, dγ, dβ",
        )  # fmt: skip
        return [dx, *dweights]

    t.follow(name, [x, *weights], [y], backward, [(value, None) for value in (x, mean, deviation, *weights)])
    return y
