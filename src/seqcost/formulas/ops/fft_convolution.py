"""The causal convolution of a whole sequence by FFT, as `layers.ops.fft_convolution` executes it.

A real transform of length n counts 5/2·n·log₂ n (half of Cooley and Tukey's 5·n·log₂ n). With n = 2·2^⌈log₂ T⌉ that is
a whole number, and a formula of T without rounding.
"""

from collections.abc import Iterator, Sequence

from seqcost.algebra import Size
from seqcost.algebra.expr import ceil_log2
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.operator import Operator
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Node, Value, product


def fft_convolution(t: Tape, u: Value, kernel: Value) -> Value:
    """[D,B,T] and [D,T] → [D,B,T], a slice of a longer result."""
    D, B, T = u.shape
    levels = ceil_log2(T)
    half = 2**levels
    rows = D * B
    u_spectrum = _transform(t, "input", t.float32("input_float32", t.detach(u)), levels)
    kernel_spectrum = _transform(t, "kernel", t.detach(kernel), levels)
    spectra = t.operator(
        "spectra", [u_spectrum, kernel_spectrum], u_spectrum.shape, itemsize=u_spectrum.storage.itemsize,
        pointwise=pointwise.COMPLEX_PRODUCT * rows * (half + 1), note="one product a frequency",
    )  # fmt: skip
    y = t.operator(
        "convolved", [spectra], (D, B, 2 * half), contraction=transform_flops(levels, rows), pointwise=2 * half * rows,
        itemsize=kernel.storage.itemsize, note="back from frequencies",
    )  # fmt: skip
    flows = u.needs_gradient or kernel.needs_gradient
    out = Value((D, B, T), y.storage, D * B * T, flows, y.depth, y.chain)
    if flows:
        t.nodes.append(Node((u, kernel), (out,), lambda wanted: _backward(D, B, levels, wanted)))
        t.keep(u)
        t.keep(kernel)
    return out


def transform_flops(levels: Size, rows: Size) -> Size:
    """Of `rows` real transforms of length n = 2·2^levels: 5/2·n·log₂ n each."""
    return 5 * 2**levels * (levels + 1) * rows


def _transform(t: Tape, name: str, x: Value, levels: Size) -> Value:
    *rows, _ = x.shape
    half = 2**levels
    filled = t.moved(f"{name}_fill", [x], *rows, 2 * half, note="zeros behind it")
    real = t.run.itemsize if x.storage.itemsize is None else x.storage.itemsize
    return t.operator(
        f"{name}_transform", [filled], (*rows, half + 1), contraction=transform_flops(levels, product(rows)),
        itemsize=2 * real, note="to frequencies",
    )  # fmt: skip


def _backward(D: Size, B: Size, levels: Size, wanted: Sequence[bool]) -> Iterator[Operator]:
    rows, half = D * B, 2**levels
    many, few, spectrum = transform_flops(levels, rows), transform_flops(levels, D), rows * (half + 1)
    multiply, add = pointwise.COMPLEX_PRODUCT * spectrum, pointwise.COMPLEX_ADD * spectrum
    yield Operator(name="gradient_transform", contraction=many, note="the gradient to frequencies")
    if wanted[0]:
        yield Operator(name="kernel_transform_again", contraction=few, pointwise=D * (half + 1), note="and conjugated")
        yield Operator(name="input_gradient", contraction=many, pointwise=multiply + 2 * half * rows)
    yield Operator(name="input_transform_again", contraction=many, pointwise=spectrum, note="and conjugated")
    yield Operator(name="kernel_gradient", contraction=few, pointwise=multiply + add + 2 * half * D)
