"""The causal convolution of a whole sequence by FFT, as `layers.ops.fft_convolution` executes it.

A real transform of length n counts 5/2·n·log₂ n (half of Cooley and Tukey's 5·n·log₂ n). With n = 2·2^⌈log₂ T⌉ that is
a whole number, and a formula of T without rounding.
"""

from collections.abc import Sequence
from typing import Any

from seqcost.algebra import Size
from seqcost.algebra.expr import ceil_log2
from seqcost.algebra.work import Kernel
from seqcost.formulas.core import pointwise
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value, product


def fft_convolution(t: Tape, u: Value, kernel: Value) -> Value:
    """[D,B,T] and [D,T] → [D,B,T], a slice of a longer result. One node of the graph, with a backward of its own."""
    size, of_u = kernel.storage.itemsize, u.storage.itemsize

    def forward(t: Tape, u: Value, kernel: Value) -> Value:
        return _cut(
            t, "convolved", _times(t, "spectra", _spectrum(t, "input", u), _spectrum(t, "kernel", kernel)), u, size
        )

    def backward(t: Tape, g: Value, kept: Sequence[Any], wanted: Sequence[bool]) -> list[Value | None]:
        u, kernel = kept
        spectrum = _spectrum(t, "gradient", g)
        du = None
        if wanted[0]:
            du = _cut(
                t, "input_gradient", _times(t, "input_gradient", spectrum, _conjugate(t, "kernel", kernel)), u, size
            )
            du = t.cast("input_gradient_narrow", du, of_u)
        return [du, _cut(t, "kernel_gradient", _correlated(t, spectrum, u), kernel, size)]

    y = forward(t, t.detach(u), t.detach(kernel))
    t.follow("convolved", [u, kernel], [y], backward, [(u, None), (kernel, None)])
    return y


def transform_flops(levels: Size, rows: Size) -> Size:
    """Of `rows` real transforms of length n = 2·2^levels: 5/2·n·log₂ n each."""
    return 5 * 2**levels * (levels + 1) * rows


def _spectrum(t: Tape, name: str, x: Value) -> Value:
    """[*,T] → frequencies [*,2^levels + 1], complex."""
    filled = _filled(t, name, t.float32(f"{name}_float32", x))
    *rows, n = filled.shape
    levels = ceil_log2(x.shape[-1])
    return t.kernel(
        f"{name}_transform", Kernel.FFT, [filled], (*rows, 2**levels + 1), operator="_fft_r2c",
        sizes=(product(rows), n), contraction=transform_flops(levels, product(rows)),
        itemsize=2 * t.bytes_of(filled.storage.itemsize), note="to frequencies",
    )  # fmt: skip


def _filled(t: Tape, name: str, x: Value) -> Value:
    *rows, T = x.shape
    return t.pad(f"{name}_fill", x, *rows, 2 * 2 ** ceil_log2(T), note="zeros behind it")


def _times(t: Tape, name: str, many: Value, few: Value) -> Value:
    """Of frequencies [D,B,*] and [D,*]."""
    D, frequencies = few.shape if len(few.shape) == 2 else (few.shape[0], few.shape[-1])
    other = t.view(few, D, ONE, frequencies) if len(few.shape) == 2 else few
    return t.pointwise(name, [many, other], pointwise.COMPLEX_PRODUCT, "one product per frequency", operator="mul")


def _conjugate(t: Tape, name: str, x: Value) -> Value:
    spectrum = [_spectrum(t, f"{name}_again", x)]
    return t.pointwise(f"{name}_transform_again", [spectrum.pop()], 1, "and conjugated", operator="_conj_physical")


def _correlated(t: Tape, g: Value, u: Value) -> Value:
    """Frequencies of the gradient times those of the input, summed over the sequences."""
    D, sequences, frequencies = g.shape
    both = _times(t, "kernel_gradient", g, _conjugate(t, "input", u))
    return t.kernel(
        "kernel_gradient", Kernel.REDUCTION, [both], (D, frequencies), operator="sum",
        sizes=(D * frequencies, sequences), pointwise=pointwise.COMPLEX_ADD * both.numel,
        itemsize=both.storage.itemsize, note="Σ over the sequences",
    )  # fmt: skip


def _cut(t: Tape, name: str, spectrum: Value, like: Value, itemsize: Size | None) -> Value:
    """Back from frequencies, and the first T tokens of that."""
    *rows, _ = spectrum.shape
    T = like.shape[-1]
    levels = ceil_log2(T)
    n = 2 * 2**levels
    long = t.kernel(
        name, Kernel.FFT, [spectrum], (*rows, n), operator="_fft_c2r", sizes=(product(rows), n), itemsize=itemsize,
        contraction=transform_flops(levels, product(rows)), pointwise=n * product(rows), note="back from frequencies",
    )  # fmt: skip
    return t.part(long, *rows, T)
