"""Rotary position embedding on a tape: pairs of features of q and k turned by an angle that grows with the position.

The angles are a float64 table [T, K/2], made anew for each call (position × frequency, cosine, sine); turning a tensor
takes four products of halves, a difference, a sum and a join. Source: Su et al. 2021, arXiv 2104.09864, eq. 34.
"""

from seqcost.algebra import Size
from seqcost.algebra.expr import halve
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value

ANGLE_BYTES = 8  # float64 whatever the working dtype: float32 is 5e-3 off at the millionth position


def rotary_tables(t: Tape, T: Size, K: Size, *, wide: bool = False) -> tuple[Value, Value]:
    """Cosines and sines [T,1,K/2] in the working dtype, or in float32 at least where what they turn is `wide`."""
    angle = t.view(angles(t, "rope_", T, t.buffer(halve(K), itemsize=ANGLE_BYTES)), T, ONE, halve(K))
    size = t.wide if wide else None
    return tuple(
        t.cast("rope_cast", t.pointwise(name, [angle], 1, operator=operator), size, "tables in the working dtype")
        for name, operator in (("rope_cosine", "cos"), ("rope_sine", "sin"))
    )  # type: ignore[return-value]  # two of them


def angles(t: Tape, prefix: str, T: Size, frequency: Value) -> Value:
    """Position × frequency [T,K/2]."""
    at = t.constant(f"{prefix}positions", T, operator="arange", itemsize=ANGLE_BYTES, note="P … P + T − 1")
    places = t.view(at, T, ONE)
    return t.pointwise(f"{prefix}angles", [places, frequency], 1, "position × frequency", operator="mul")


def rotary(t: Tape, name: str, x: Value, cos: Value, sin: Value) -> Value:
    """[x₁ cos − x₂ sin, x₂ cos + x₁ sin] of x [B,T,H,K]."""
    *front, K = x.shape
    first, second = t.parts(x, (*front, halve(K)), (*front, halve(K)), name=f"{name}_halves")

    def times(part: Value, table: Value) -> Value:
        return t.multiply(f"{name}_products", part, table, note="x cos, x sin")

    turned = [
        t.subtract(f"{name}_sums", times(first, cos), times(second, sin), note="of the halves"),
        t.add(f"{name}_sums", times(second, cos), times(first, sin), note="of the halves"),
    ]
    return t.cat(f"{name}_join", turned, *x.shape, note="the halves side by side")
