"""Convolutions on a tape: over a sequence, and of an image cut into patches."""

from collections.abc import Iterator, Sequence

from seqcost.algebra import Size
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value, product


def convolution(
    t: Tape,
    name: str,
    x: Value,
    *shape: Size,
    kernel: Sequence[Size],
    channels: Size,
    bias: bool = True,
    note: str = "",
) -> Value:
    """X [B,D,*] → [B,N,*] = `shape`: torch.nn.functional.conv1d, conv2d.

    Every one of the result's elements is a sum over `channels` · `kernel` products: D channels, or D over the groups.
    The border that pads x is multiplied like the rest; what lies beyond the last result is not read.
    """
    n, taps = product(shape), channels * product(kernel)
    flops = 2 * n * taps
    weight = t.weight(shape[1], channels, *kernel)
    inputs = [x, weight, t.weight(shape[1])] if bias else [x, weight]

    def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
        if wanted[0]:
            yield Operator(name=f"{name}_dx", contraction=flops, note="g ∗ Wᵀ")
        yield Operator(name=f"{name}_dw", contraction=flops, note="gᵀ ∗ x")
        if bias:
            yield Operator(name=f"{name}_db", pointwise=n, note="Σ g")

    return t.operator(
        name, inputs, shape, contraction=flops, pointwise=n if bias else 0, backward=backward, keeps=[(x, 1)],
        note=note or "x ∗ W",
    )  # fmt: skip
