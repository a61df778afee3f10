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
from collections.abc import Callable, Sequence
from typing import Any

from seqcost.trace.operators.factorisations import real_operations

Formula = Callable[..., Any]


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


def cell_steps(x: Any) -> Any:
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


CONTRACTIONS: dict[str, Formula] = {
    "aten::mm": _mm,
    "aten::bmm": _mm,
    "aten::mv": _mm,
    "aten::addmm": _addmm,
    "aten::_addmm_activation": _addmm,
    "aten::baddbmm": _addmm,
    "aten::addmv": _addmm,
    "aten::addbmm": _addbmm,
    "aten::_grouped_mm": _grouped_mm,
    "aten::_scaled_grouped_mm": _grouped_mm,
    "aten::dot": _dot,
    "aten::vdot": _dot,
    "aten::addr": _outer,
    "aten::convolution": _convolution,
    "aten::_convolution": _convolution,
    "aten::convolution_backward": _convolution_backward,
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "aten::_scaled_dot_product_flash_attention": _attention,
    "aten::_scaled_dot_product_flash_attention_backward": _attention_backward,
    "aten::_scaled_dot_product_efficient_attention": _attention,
    "aten::_scaled_dot_product_efficient_attention_backward": _attention_backward,
    "aten::_scaled_dot_product_cudnn_attention": _attention,
    "aten::_scaled_dot_product_cudnn_attention_backward": _attention_backward,
    "aten::_scaled_dot_product_fused_attention_overrideable": _attention,
    "aten::_scaled_dot_product_fused_attention_overrideable_backward": _attention_backward,
    "aten::mkldnn_rnn_layer": _lstm,
    "aten::mkldnn_rnn_layer_backward": _lstm_backward,
    "aten::_fft_r2c": _fft_real,
    "aten::_fft_c2r": _fft_real_inverse,
    "aten::_fft_c2c": _fft_complex,
    "aten::linalg_solve_triangular": _triangular_solve,
    "aten::_cdist_forward": _pairwise_distance,
    "aten::_euclidean_dist": _euclidean,
}
