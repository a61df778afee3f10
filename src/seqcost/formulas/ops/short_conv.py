"""The short causal depthwise convolution in front of state-space and delta-rule layers, on a tape.

2·B·T·k·E FLOPs, which count as a contraction, as they do in PyTorch's counter; as many again for the gradient of the
input and for that of the filter. The border in front is the carried state, so nothing is counted twice.
"""

from seqcost.algebra import Size
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
from seqcost.formulas.ops.convolution import convolution


def short_conv(
    t: Tape, name: str, x_BTE: Value, k: Size, state_BkE: Value, *, bias: bool = True
) -> tuple[Value, Value]:
    """Twin of `seqcost.layers.ops.short_conv.short_conv`, its filter [E,k] and bias [E] included."""
    B, T, E = x_BTE.shape
    past = t.cat(f"{name}_past", [state_BkE, x_BTE], B, T + k - 1, E, note="the k − 1 inputs before, then x")
    y = convolution(
        t,
        name,
        _image(t, past),
        t.view(t.weight(E, k), E, 1, 1, k),
        B,
        E,
        1,
        T,
        bias=bias,
        groups=E,
        note="k taps a feature",
    )
    y = t.transpose(t.view(y, B, E, T), 0, 2, 1)
    return y, t.copy(f"{name}_state", t.part(past, B, k - 1, E), note="the last k − 1 inputs")


def _image(t: Tape, x: Value) -> Value:
    """[B,T,E] as it lies, seen as an image [B,E,1,T] whose channels are innermost."""
    B, T, E = x.shape
    out = Value((B, E, 1, T), x.storage, strides=(T * E, 1, T * E, E), is_view=True)
    t.follow("image", [x], [out], lambda t, g, kept, wanted: [t.transpose(t.view(g, B, E, T), 0, 2, 1)])
    return out
