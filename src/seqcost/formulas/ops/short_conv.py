"""The short causal depthwise convolution in front of state-space and delta-rule layers, on a tape.

2·B·T·k·E FLOPs, which count as a contraction, as they do in PyTorch's counter; as many again for the gradient of the
input and for that of the filter. The border in front is the carried state, so nothing is counted twice.
"""

from collections.abc import Iterator, Sequence

from seqcost.algebra import Size
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value


def short_conv(
    t: Tape, name: str, x_BTE: Value, k: Size, state_BkE: Value, *, bias: bool = True
) -> tuple[Value, Value]:
    """Twin of `seqcost.layers.ops.short_conv.short_conv`, its filter [E,k] and bias [E] included."""
    B, T, E = x_BTE.shape
    flops = 2 * B * T * k * E
    past = t.moved(f"{name}_past", [state_BkE, x_BTE], B, T + k - 1, E, note="the k − 1 inputs before, then x")

    def backward(wanted: Sequence[bool]) -> Iterator[Operator]:
        if wanted[0]:
            yield Operator(name=f"{name}_dx", contraction=flops, note="g with the filter turned round")
        yield Operator(name=f"{name}_dw", contraction=flops, note="Σ g x over the tokens")
        if bias:
            yield Operator(name=f"{name}_db", pointwise=B * T * E, note="Σ g")

    weights = [t.weight(E, k), *([t.weight(E)] if bias else [])]
    y = t.operator(
        name, [past, *weights], (B, T, E),
        contraction=flops, pointwise=B * T * E if bias else 0,
        backward=backward, keeps=[(past, 1)], note="k taps a feature",
    )  # fmt: skip
    after = t.moved(f"{name}_state", [t.part(past, B, k - 1, E)], B, k - 1, E, note="the last k − 1 inputs")
    return y, after
