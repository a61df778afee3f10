"""Rotary positions on a tape: the tables of angles, and a tensor turned by them. See formulas/parts/rope."""

from seqcost.algebra import Size
from seqcost.algebra.expr import halve
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value

ANGLE_BYTES = 8  # float64 whatever the working dtype: float32 is 5e-3 off at the millionth position


def rotary_tables(t: Tape, T: Size, K: Size, *, wide: bool = False) -> tuple[Value, Value]:
    """Cosines and sines [T,1,K/2] in the working dtype, or in float32 at least where what they turn is `wide`."""
    half = halve(K)
    at = t.constant("rope_positions", T, itemsize=ANGLE_BYTES)
    angle = t.operator(
        "rope_angles", [at, t.buffer(half, itemsize=ANGLE_BYTES)], (T, ONE, half), pointwise=T * half,
        itemsize=ANGLE_BYTES, note="position × frequency",
    )  # fmt: skip
    tables = []
    for name in ("rope_cosine", "rope_sine"):
        table = t.operator(name, [angle], angle.shape, pointwise=T * half, itemsize=ANGLE_BYTES)
        if t.run.itemsize != ANGLE_BYTES:
            size = t.wide if wide else None
            table = t.operator("rope_cast", [table], angle.shape, itemsize=size, note="tables in the working dtype")
        tables.append(table)
    return tables[0], tables[1]


def rotary(t: Tape, name: str, x: Value, cos: Value, sin: Value) -> Value:
    """[x₁ cos − x₂ sin, x₂ cos + x₁ sin] of x [B,T,H,K]."""
    *front, K = x.shape
    first, second = t.parts(x, (*front, halve(K)), (*front, halve(K)))

    def times(part: Value, table: Value) -> Value:
        return t.multiply(f"{name}_products", part, table, note="x cos, x sin")

    turned = [
        t.subtract(f"{name}_sums", times(first, cos), times(second, sin), note="of the halves"),
        t.add(f"{name}_sums", times(second, cos), times(first, sin), note="of the halves"),
    ]
    return t.moved(f"{name}_join", turned, *x.shape, note="the halves side by side")
