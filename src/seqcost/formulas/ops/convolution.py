"""Convolutions on a tape: over a sequence, and over an image."""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.expr import is_symbolic
from seqcost.algebra.work import Kernel
from seqcost.formulas.core.comparing import equal
from seqcost.formulas.core.layout import channels_last, strides_of, tidied
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value, product
from seqcost.formulas.ops.onednn.convolutions import Call, backward_bytes, forward_bytes
from seqcost.formulas.ops.onednn.sizes import Operand


def convolution(
    t: Tape,
    name: str,
    x: Value,
    weight: Value,
    *shape: Size,
    bias: bool = True,
    dilation: Size = 1,
    groups: Size = 1,
    note: str = "",
) -> Value:
    """x [B,D,*] → [B,N,*] = `shape`: torch.nn.functional.conv1d, conv2d, of steps of 1 and without padding.

    Every one of the result's elements is a sum over the products of a row of the weight [N, D/groups, *]. The border
    that pads x is multiplied like the rest; what lies beyond the last result is not read. An image whose channels are
    innermost gives such a result.
    """
    n = product(shape)
    flops = 2 * n * product(weight.shape[1:])
    (sequences, n_out, *positions), (_, n_in, *taps) = shape, weight.shape
    sizes = (sequences, n_in, n_out, product(taps), product(positions))
    inputs = [x, weight, t.weight(shape[1])] if bias else [x, weight]
    itemsize = x.storage.itemsize

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        found: list[Any] = [t.new(f"{name}_d{of}", value.shape, itemsize) for of, value in zip("xw", kept, strict=True)]
        for one, value in zip(found, kept, strict=True):
            one.strides = _layout(value.shape, kept)
        if bias:
            found.append(t.new(f"{name}_db", (shape[1],), itemsize))
        if not wanted[0]:
            found[0] = None
        made = [value for value in found if value is not None]
        t.launch(
            f"{name}_backward", Kernel.CONVOLUTION, [g, *kept], made, operator="convolution_backward", sizes=sizes,
            contraction=flops * (1 + wanted[0]), pointwise=n if bias else 0, note="g ∗ Wᵀ, gᵀ ∗ x, Σ g",
            buffer=_backward_bytes(_call(t, (*kept, g), dilation, groups, bias=bias), to_input=wanted[0]),
        )  # fmt: skip
        return found

    y = t.new(name, shape, itemsize)
    y.strides = _layout(shape, (x, weight))
    call = _call(t, (x, weight, y), dilation, groups, bias=bias)
    t.launch(
        name, Kernel.CONVOLUTION, inputs, [y], operator="convolution", sizes=sizes, contraction=flops,
        pointwise=n if bias else 0, buffer=0 if call is None else forward_bytes(call), note=note or "x ∗ W",
    )  # fmt: skip
    t.follow(name, inputs, [y], backward, [(x, None), (weight, None)])
    return y


def _layout(shape: Sequence[Size], operands: Sequence[Value]) -> tuple[Size, ...] | None:
    """Strides of a result: channels innermost where an image's or its weight's are (ConvUtils.h)."""
    if len(shape) != 4 or not any(_channels_last(value) for value in operands):
        return None
    strides = channels_last(shape)
    assert strides is not None
    return tidied(shape, strides)


def _channels_last(value: Value) -> bool:
    """As PyTorch asks for it, of sizes that may be symbols: whether the channels are one apart and are several."""
    return value.strides is not None and equal(value.strides[1], 1)


def _call(t: Tape, operands: Sequence[Value], dilation: Size, groups: Size, *, bias: bool) -> Call | None:
    """What oneDNN is asked, of x, the weight and the result; None where nothing is known of what it takes besides.

    That is where memory is not followed, in half precision, and of sizes that are symbols.
    """
    if not t.remembering or t.narrow:
        return None
    itemsize, threads = t.bytes_of(operands[0].storage.itemsize), t.run.threads
    sizes = [n for value in operands for n in (*value.shape, *strides_of(value))]
    if any(is_symbolic(size) for size in (*sizes, itemsize, threads, dilation, groups)):
        return None
    x, weight, y = (Operand(value.shape, strides_of(value), itemsize) for value in operands)
    dims = len(x.shape)
    none, one = (0,) * (dims - 2), (1,) * (dims - 2)
    gaps = (*one[1:], dilation)
    return Call(x, weight, y, one, none, gaps, none, groups, threads, bias)


def _backward_bytes(call: Call | None, *, to_input: bool) -> Size:
    if call is None:
        return 0
    db_bytes = call.y.shape[1] * call.y.itemsize if call.bias else 0
    return backward_bytes(call, (call.x.num_bytes if to_input else 0, call.weight.num_bytes, db_bytes))
