"""Rotary position embedding: pairs of features of q and k turned by an angle that grows with the position.

The angles are a float64 table [T, K/2], made anew for each call (position × frequency, cosine, sine); turning a
tensor takes four products of halves, a difference, a sum and a join. Source: Su et al. 2021, arXiv 2104.09864, eq. 34.
"""

from collections.abc import Iterator

from seqcost.algebra import Size
from seqcost.algebra.expr import halve
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.workload import Workload

ANGLE_BYTES = 8  # float64 whatever the working dtype: float32 is 5e-3 off at the millionth position


def rope_tables(run: Workload, K: Size) -> Iterator[Operator]:
    """Angles, cosines and sines of T positions; they do not depend on the input, so they are off its chain."""
    half = halve(K)
    angles = run.T * half
    moved = {
        "positions": (0, run.T * ANGLE_BYTES, "P … P + T − 1"),
        "angles": (angles, (run.T + half + angles) * ANGLE_BYTES, "position × frequency"),
        "cosine": (angles, 2 * angles * ANGLE_BYTES, ""),
        "sine": (angles, 2 * angles * ANGLE_BYTES, ""),
    }
    for name, (operations, other_bytes, note) in moved.items():
        yield Operator(name=f"rope_{name}", pointwise=operations, other_bytes=other_bytes, steps=0, note=note)
    if run.itemsize != ANGLE_BYTES:
        cast = 2 * angles * (ANGLE_BYTES + run.itemsize)
        yield Operator(name="rope_cast", other_bytes=cast, steps=0, note="tables in the working dtype")


def rope_turn(name: str, run: Workload, heads: Size, K: Size) -> Iterator[Operator]:
    """[x₁ cos − x₂ sin, x₂ cos + x₁ sin] for `heads` heads of width K."""
    n = run.B * run.T * heads * K
    yield Operator(
        name=f"rope_{name}_products", pointwise=2 * n, reads=2 * n + 2 * run.T * K, writes=2 * n, note="x cos, x sin"
    )
    yield Operator(name=f"rope_{name}_sums", pointwise=n, reads=2 * n, writes=n, note="of the halves")
    yield Operator(name=f"rope_{name}_join", reads=n, writes=n, note="the halves side by side")


def rope_turn_backward(name: str, run: Workload, heads: Size, K: Size) -> Iterator[Operator]:
    """The same turn backwards: four products, two sums, and the negation of one."""
    n = run.B * run.T * heads * K
    yield Operator(name=f"rope_{name}_backward", pointwise=halve(7 * n), note="turned back")


def rope_kept_bytes(run: Workload, K: Size) -> Size:
    """The two tables in the working dtype, shared by q and k."""
    return run.T * K * run.itemsize
