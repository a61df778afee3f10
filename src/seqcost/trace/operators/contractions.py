"""FLOPs of the operators that multiply and add: products, convolutions, fused attention and recurrences, FFT.

Each formula is called with the operator's own arguments and its result, `formula(*args, out=..., **kwargs)`, and
reads nothing but shapes. A multiply-add is 2 FLOPs, of complex numbers 8. Causal attention is the full rectangle, which
is what the kernels' block loops are measured against; a convolution counts its padded border.

Sources: shapes as in torch/utils/flop_counter.py (2.13); the matrix products of the fused attention backward in
aten/src/ATen/native/cpu/FlashAttentionKernel.cpp `cpu_flash_attention_backward` (scores are computed again: five
products for the forward's two); the LSTM's in oneDNN src/cpu/rnn/cell_common.cpp; FFT by the count of Cooley and
Tukey 1965, 5·n·log₂ n a complex transform and half of it a real one, rounded where n is no power of two; a triangular
system by LAPACK Working Note 41 (Blackford and Dongarra 1999), appendix, xTRSM: n² a right side.
"""

import math
from collections.abc import Sequence
from typing import Any

from seqcost.algebra.work import Kernel
from seqcost.formulas.core import pointwise
from seqcost.trace.operators import letters
from seqcost.trace.operators.factorisations import real_operations
from seqcost.trace.operators.operator import Operator, first, of_result


def _product(sizes: Sequence[Any]) -> Any:
    return math.prod(sizes)


def _mm(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    # a [m,k] @ b [k,n]
    return 2 * out.numel() * a.shape[-1] * real_operations(out)


def _addmm(bias: Any, a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    # bias [n] + a [m,k] @ b [k,n], a batch in front for baddbmm
    return 2 * out.numel() * a.shape[-1] * real_operations(out)


def _addbmm(bias: Any, a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    # Σ over the batch of a [b,m,k] @ b [b,k,n]
    return 2 * out.numel() * a.shape[-1] * a.shape[0] * real_operations(out)


def _grouped_mm(a: Any, b: Any, offsets: Any = None, *_: Any, out: Any, **__: Any) -> Any:
    # Rows [S,k] in groups, each with a matrix of its own [E,k,n]; or (the gradient of those matrices) [m,S] @ [S,n]
    # group by group to [E,m,n]. Every row is in one group, so how they are filled makes no difference.
    groups = out.shape[0] if a.dim() == 2 and b.dim() == 2 else 1
    return 2 * (out.numel() // groups) * a.shape[-1]


def _dot(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    return 2 * a.numel() * real_operations(a)


def _outer(base: Any, a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    return 2 * out.numel() * real_operations(out)


def _convolution(
    x: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    *_: Any,
    out: Any,
    **__: Any,
) -> Any:
    # x [B,C,*], weight [C_out, C/groups, *kernel] (transposed: [C, C_out/groups, *kernel])
    positions = x.numel() if transposed else out.numel()
    return 2 * positions * _product(weight.shape[1:])


def _convolution_backward(
    gradient: Any,
    x: Any,
    weight: Any,
    bias_sizes: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: Any,
    output_mask: Sequence[bool],
    **_: Any,
) -> Any:
    # Each multiply-add of the forward pass returns once for dx and once for dW.
    positions = x.numel() if transposed else gradient.numel()
    return 2 * positions * _product(weight.shape[1:]) * (int(output_mask[0]) + int(output_mask[1]))


def _attention(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> Any:
    # q [B,H,T,K] @ kᵀ [B,G,K,S], then scores [B,H,T,S] @ v [B,G,S,V]
    return 2 * scores(q, k) * (q.shape[-1] + v.shape[-1])


def _attention_backward(gradient: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> Any:
    # q kᵀ again; dv = aᵀ g; da = g vᵀ; dq = ds k; dk = dsᵀ q
    return 2 * scores(q, k) * (3 * q.shape[-1] + 2 * v.shape[-1])


def scores(q: Any, k: Any) -> Any:
    """Query-key pairs over batch and heads; keys and values may have fewer heads."""
    return _product(q.shape[:-1]) * k.shape[-2]


def _lstm(x: Any, w_input: Any, w_state: Any, *_: Any, **__: Any) -> Any:
    # x [T,B,D] @ [D,4N] and h [B,N] @ [N,4N] at each of T steps
    return 2 * x.shape[0] * x.shape[1] * (w_input.numel() + w_state.numel())


def _lstm_backward(x: Any, w_input: Any, w_state: Any, *_: Any, **__: Any) -> Any:
    # dx and dh, dW and dU: two products for each of the forward pass; the kernel does not leave dx out.
    return 2 * _lstm(x, w_input, w_state)


def cell_steps(x: Any, *_: Any) -> Any:
    """Dependent steps of a fused recurrence over x [T,B,D]."""
    return x.shape[0]


def _transform(length: int, count: int, *, real: bool) -> int:
    exact = 5 * length * count * math.log2(length) if length > 1 else 0
    return round(exact / 2) if real else round(exact)


def _fft_real(x: Any, dims: Sequence[int], *_: Any, **__: Any) -> int:
    length = int(_product([x.shape[d] for d in dims]))
    return _transform(length, int(x.numel()) // length, real=True)


def _fft_real_inverse(x: Any, dims: Sequence[int], *_: Any, out: Any, **__: Any) -> int:
    length = int(_product([out.shape[d] for d in dims]))
    return _transform(length, int(out.numel()) // length, real=True)


def _fft_complex(x: Any, dims: Sequence[int], *_: Any, **__: Any) -> int:
    length = int(_product([x.shape[d] for d in dims]))
    return _transform(length, int(x.numel()) // length, real=False)


def _triangular_solve(lower: Any, sides: Any, *_: Any, out: Any, **__: Any) -> Any:
    # [n,n] with k right sides: n² a side, whether they are columns or (left=False) rows
    return out.numel() * lower.shape[-1] * real_operations(out)


def _euclidean(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    # [−2a, |a|², 1] [P,k+2] @ [b, 1, |b|²]ᵀ [k+2,R]
    return 2 * out.numel() * (a.shape[-1] + 2)


def _pairwise_distance(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    return 2 * out.numel() * a.shape[-1]


def _attention_pointwise(q: Any, k: Any, v: Any, *_: Any, attn_mask: Any = None, **__: Any) -> Any:
    return scores(q, k) * (pointwise.ATTENTION + (attn_mask is not None))


def _attention_backward_pointwise(g: Any, q: Any, k: Any, *_: Any, attn_mask: Any = None, **__: Any) -> Any:
    return scores(q, k) * (pointwise.ATTENTION_BACKWARD + (attn_mask is not None))


def _lstm_pointwise(x: Any, w_input: Any, w_state: Any, *_: Any, **__: Any) -> Any:
    return x.shape[0] * x.shape[1] * w_state.shape[-1] * pointwise.LSTM_CELL


def _lstm_backward_pointwise(x: Any, w_input: Any, w_state: Any, *_: Any, **__: Any) -> Any:
    return x.shape[0] * x.shape[1] * w_state.shape[-1] * pointwise.LSTM_CELL_BACKWARD


def _bias(x: Any, weight: Any, bias: Any = None, *_: Any, out: Any, **__: Any) -> Any:
    return 0 if bias is None else out.numel()


def _bias_backward(g: Any, *rest: Any, output_mask: Any = None, **_: Any) -> Any:
    mask = output_mask if output_mask is not None else rest[-1]
    return g.numel() * bool(mask[2])


def _fft_scale(x: Any, dims: Any, normalization: int = 0, *_: Any, out: Any, **__: Any) -> Any:
    return out.numel() if normalization else 0


def _euclidean_pointwise(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    # √max(|a|² − 2 a·b + |b|², 0): squares and their sums, a factor, then two for each distance
    return 3 * a.numel() + 2 * b.numel() + 2 * out.numel()


def _added_sizes(bias: Any, a: Any, b: Any, *_: Any, out: Any, **__: Any) -> tuple[Any, ...]:
    columns = b.shape[-1] if b.dim() > 1 else 1
    return (*a.shape[:-2], a.shape[-2], a.shape[-1], columns)


def _grouped_sizes(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> tuple[Any, ...]:
    groups = b.shape[0] if b.dim() == 3 else out.shape[0]  # of which each has its share of the rows
    return (groups, a.shape[-2], a.shape[-1], out.shape[-1])


def _vector_sizes(a: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
    return (1, a.numel(), 1)


def _outer_sizes(base: Any, a: Any, b: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
    return (a.numel(), 1, b.numel())


def _attention_sizes(q: Any, k: Any, v: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
    return (_product(q.shape[:-3]), q.shape[-3], q.shape[-2], k.shape[-2], q.shape[-1], v.shape[-1])


def _attention_backward_sizes(gradient: Any, q: Any, k: Any, v: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
    return _attention_sizes(q, k, v)


def _convolution_sizes(
    x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool, *_: Any, out: Any,
    **__: Any,
) -> tuple[Any, ...]:  # fmt: skip
    return _convolved(x, weight, first(out), transposed=transposed)


def _convolution_backward_sizes(
    g: Any, x: Any, weight: Any, bias_sizes: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
    *_: Any, **__: Any,
) -> tuple[Any, ...]:  # fmt: skip
    return _convolved(x, weight, g, transposed=transposed)


def _convolved(x: Any, weight: Any, y: Any, *, transposed: bool) -> tuple[Any, ...]:
    # weight [C_out, C/groups, *]; transposed [C, C_out/groups, *]
    groups = y.shape[1] // weight.shape[1] if transposed else x.shape[1] // weight.shape[1]
    return (x.shape[0], x.shape[1] // groups, y.shape[1], _product(weight.shape[2:]), _product(y.shape[2:]))


def _lstm_sizes(x: Any, w_input: Any, w_state: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
    return (*x.shape, w_state.shape[-1])


def _fft_sizes(x: Any, dims: Sequence[int], *_: Any, out: Any, **__: Any) -> tuple[Any, ...]:
    whole = x if x.numel() >= out.numel() else out  # the side that has every position
    length = _product([whole.shape[d] for d in dims])
    return (whole.numel() // length, length)


def _pair_sizes(a: Any, b: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
    return (a.shape[-2], a.shape[-1], b.shape[-2])


_ONE = of_result(1)  # the bias, added to the product
_ATTENTION = Operator(Kernel.ATTENTION, _attention, _attention_pointwise, _attention_sizes, letters.attention)
_ATTENTION_BACKWARD = Operator(
    Kernel.ATTENTION, _attention_backward, _attention_backward_pointwise, _attention_backward_sizes,
    letters.attention_backward,
)  # fmt: skip
_CONVOLUTION = Operator(Kernel.CONVOLUTION, _convolution, _bias, _convolution_sizes, letters.convolution)
_FUSED_ATTENTION = (
    "flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention",
    "fused_attention_overrideable",
)  # fmt: skip


def _added(kernel: Kernel, weight: int = 1) -> Operator:
    return Operator(kernel, _addmm, of_result(weight), _added_sizes, letters.added_product)


def _transform_of(formula: Any) -> Operator:
    return Operator(Kernel.FFT, formula, _fft_scale, _fft_sizes, letters.transform)


CONTRACTIONS: dict[str, Operator] = {
    "aten::mm": Operator(Kernel.PRODUCT, _mm, letters=letters.product),
    "aten::bmm": Operator(Kernel.BATCHED_PRODUCT, _mm, letters=letters.product),
    "aten::mv": Operator(Kernel.PRODUCT, _mm, letters=letters.product),
    "aten::addmm": _added(Kernel.PRODUCT),
    "aten::_addmm_activation": _added(Kernel.PRODUCT, 2),  # the bias and the activation
    "aten::baddbmm": _added(Kernel.BATCHED_PRODUCT),
    "aten::addmv": _added(Kernel.PRODUCT),
    "aten::addbmm": Operator(Kernel.BATCHED_PRODUCT, _addbmm, _ONE, _added_sizes, letters.summed_products),
    "aten::_grouped_mm": Operator(
        Kernel.BATCHED_PRODUCT, _grouped_mm, sizes=_grouped_sizes, letters=letters.grouped_products
    ),
    "aten::_scaled_grouped_mm": Operator(
        Kernel.BATCHED_PRODUCT, _grouped_mm, sizes=_grouped_sizes, letters=letters.grouped_products
    ),
    "aten::dot": Operator(Kernel.PRODUCT, _dot, sizes=_vector_sizes, letters=letters.dot),
    "aten::vdot": Operator(Kernel.PRODUCT, _dot, sizes=_vector_sizes, letters=letters.dot),
    "aten::addr": Operator(Kernel.PRODUCT, _outer, _ONE, _outer_sizes, letters.outer),
    "aten::convolution": _CONVOLUTION,
    "aten::_convolution": _CONVOLUTION,
    "aten::convolution_backward": Operator(
        Kernel.CONVOLUTION, _convolution_backward, _bias_backward, _convolution_backward_sizes,
        letters.convolution_backward,
    ),
    "aten::mkldnn_rnn_layer": Operator(Kernel.RECURRENCE, _lstm, _lstm_pointwise, _lstm_sizes, letters.lstm),
    "aten::mkldnn_rnn_layer_backward": Operator(
        Kernel.RECURRENCE, _lstm_backward, _lstm_backward_pointwise, _lstm_sizes, letters.lstm_backward
    ),
    "aten::_fft_r2c": _transform_of(_fft_real),
    "aten::_fft_c2r": _transform_of(_fft_real_inverse),
    "aten::_fft_c2c": _transform_of(_fft_complex),
    "aten::linalg_solve_triangular": Operator(
        Kernel.FACTORISATION, _triangular_solve, letters=letters.triangular
    ),
    "aten::_cdist_forward": Operator(
        Kernel.PRODUCT, _pairwise_distance, _ONE, _pair_sizes, letters.distances
    ),
    "aten::_euclidean_dist": Operator(
        Kernel.PRODUCT, _euclidean, _euclidean_pointwise, _pair_sizes, letters.distances_by_product
    ),
    **{f"aten::_scaled_dot_product_{kind}": _ATTENTION for kind in _FUSED_ATTENTION},
    **{f"aten::_scaled_dot_product_{kind}_backward": _ATTENTION_BACKWARD for kind in _FUSED_ATTENTION},
}  # fmt: skip
