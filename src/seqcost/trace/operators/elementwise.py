"""Operations of the operators that work element by element, row by row or only move data.

Weights come from the table that formulas share (`formulas.core.pointwise`). Its rule for the rest: an element-wise
operator counts 1 for each element of its result, a reduction 1 for each element it reads (products and sums of
complex numbers as many as they have of real ones), and whatever copies,
casts, masks, fills or looks up counts 0 (its bytes count). Sorting counts a comparison a level, n·⌈log₂ n⌉ a row.
The adds of a bias that is fused into a product are pointwise too, so that they stay out of contractions.
"""

import math
from typing import Any

from seqcost.formulas.core import pointwise
from seqcost.trace.operators.contractions import Formula, scores


def of_result(weight: int) -> Formula:
    """`weight` operations for each element of the (first) result."""
    return lambda *_, out, **__: weight * first(out).numel()


def of_operand(weight: int) -> Formula:
    """`weight` operations for each element of the first operand."""
    return lambda x, *_, **__: weight * first(x).numel()


def first(value: Any) -> Any:
    """The first of several tensors; one alone is itself."""
    return value[0] if isinstance(value, tuple | list) else value


def _gelu(x: Any, *_: Any, approximate: str = "none", **__: Any) -> Any:
    return x.numel() * (pointwise.GELU_TANH if approximate == "tanh" else pointwise.GELU)


def _gelu_backward(g: Any, x: Any, *_: Any, approximate: str = "none", **__: Any) -> Any:
    return x.numel() * (pointwise.GELU_TANH_BACKWARD if approximate == "tanh" else pointwise.GELU_BACKWARD)


def _norm_cost(x: Any, scale: Any, shift: Any) -> Any:
    gains = pointwise.SCALE * (scale is not None) + pointwise.SHIFT * (shift is not None)
    return x.numel() * (pointwise.NORM + gains)


def _norm_backward_cost(x: Any, mask: Any) -> Any:
    dx, dscale, dshift = (int(wanted) for wanted in mask)
    weights = pointwise.NORM_BACKWARD * dx + pointwise.SCALE_BACKWARD * dscale + pointwise.SHIFT_BACKWARD * dshift
    return x.numel() * weights


def _layer_norm(x: Any, shape: Any, scale: Any = None, shift: Any = None, *_: Any, **__: Any) -> Any:
    return _norm_cost(x, scale, shift)


def _layer_norm_backward(
    g: Any, x: Any, shape: Any, mean: Any, rstd: Any, scale: Any, shift: Any, mask: Any, **_: Any
) -> Any:
    return _norm_backward_cost(x, mask)


def _group_norm(x: Any, scale: Any = None, shift: Any = None, *_: Any, **__: Any) -> Any:
    return _norm_cost(x, scale, shift)


def _backward_with_mask_last(g: Any, x: Any, *rest: Any, output_mask: Any = None, **_: Any) -> Any:
    return _norm_backward_cost(x, output_mask if output_mask is not None else rest[-1])


def _attention(q: Any, k: Any, v: Any, *_: Any, attn_mask: Any = None, **__: Any) -> Any:
    return scores(q, k) * (pointwise.ATTENTION + (attn_mask is not None))


def _attention_backward(g: Any, q: Any, k: Any, *_: Any, attn_mask: Any = None, **__: Any) -> Any:
    return scores(q, k) * (pointwise.ATTENTION_BACKWARD + (attn_mask is not None))


def _lstm(x: Any, w_input: Any, w_state: Any, *_: Any, **__: Any) -> Any:
    return x.shape[0] * x.shape[1] * w_state.shape[-1] * pointwise.LSTM_CELL


def _lstm_backward(x: Any, w_input: Any, w_state: Any, *_: Any, **__: Any) -> Any:
    return x.shape[0] * x.shape[1] * w_state.shape[-1] * pointwise.LSTM_CELL_BACKWARD


def _bias(x: Any, weight: Any, bias: Any = None, *_: Any, out: Any, **__: Any) -> Any:
    return 0 if bias is None else out.numel()


def _bias_backward(g: Any, *rest: Any, output_mask: Any = None, **_: Any) -> Any:
    mask = output_mask if output_mask is not None else rest[-1]
    return g.numel() * bool(mask[2])


def _sort(x: Any, *args: Any, dim: int | None = None, **_: Any) -> Any:
    if dim is None:
        dim = next((a for a in args if isinstance(a, int) and not isinstance(a, bool)), -1)
    length = int(x.shape[dim]) if x.dim() else 1
    return x.numel() * math.ceil(math.log2(length)) if length > 1 else 0


def _scatter_add(x: Any, dim: Any, index: Any, source: Any = None, *_: Any, **__: Any) -> Any:
    return index.numel() if not hasattr(source, "numel") else source.numel()


def _index_put(x: Any, indices: Any, values: Any, accumulate: bool = False, *_: Any, **__: Any) -> Any:
    return values.numel() if accumulate else 0


def _fft_scale(x: Any, dims: Any, normalization: int = 0, *_: Any, out: Any, **__: Any) -> Any:
    return out.numel() if normalization else 0


def _add(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    return out.numel() * (pointwise.COMPLEX_ADD if out.is_complex() else 1)


def _multiply(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    if not out.is_complex():
        return out.numel()
    both = all(x.is_complex() if hasattr(x, "is_complex") else isinstance(x, complex) for x in (a, b))
    return out.numel() * (pointwise.COMPLEX_PRODUCT if both else pointwise.COMPLEX_SCALE)


def _euclidean(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    # √max(|a|² − 2 a·b + |b|², 0): squares and their sums, a factor, then two for each distance
    return 3 * a.numel() + 2 * b.numel() + 2 * out.numel()


def _sum(x: Any, *_: Any, **__: Any) -> Any:
    return x.numel() * (pointwise.COMPLEX_ADD if x.is_complex() else 1)


# Operations a parameter of a fused optimizer step: as many as the loop of plain operators has with PyTorch's defaults.
_FUSED_STEPS = {"_fused_sgd": 2, "_fused_adam": 11, "_fused_adamw": 12, "_fused_adagrad": 6}


def _fused_step(weight: int) -> Formula:
    return lambda parameters, *_, **__: weight * sum(p.numel() for p in parameters)


def nothing(*_: Any, **__: Any) -> int:
    """Copies, casts, masks, fills, look-ups."""
    return 0


_RESULT_WEIGHTS = {
    "_softmax": pointwise.SOFTMAX, "_safe_softmax": pointwise.SOFTMAX,
    "_softmax_backward_data": pointwise.SOFTMAX_BACKWARD,
    "_log_softmax": pointwise.LOG_SOFTMAX, "_log_softmax_backward_data": pointwise.LOG_SOFTMAX_BACKWARD,
    "relu": pointwise.RELU, "threshold_backward": pointwise.RELU_BACKWARD,
    "tanh": pointwise.TANH, "tanh_backward": pointwise.TANH_BACKWARD,
    "sigmoid": pointwise.SIGMOID, "sigmoid_backward": pointwise.SIGMOID_BACKWARD,
    "silu": pointwise.SILU, "silu_backward": pointwise.SILU_BACKWARD,
    "softplus_backward": 1, "floor_divide": 1,
    "elu_backward": 1, "mish_backward": 1, "hardtanh_backward": 1, "leaky_relu_backward": 1, "hardshrink_backward": 1,
    "softshrink_backward": 1, "hardsigmoid_backward": 1, "log_sigmoid_forward": 1, "log_sigmoid_backward": 1,
    "addcmul": 2, "addcdiv": 2, "lerp": 3,
    "_addmm_activation": 2,  # the bias and the activation
    "addmm": 1, "baddbmm": 1, "addmv": 1, "addbmm": 1, "addr": 1,
    "native_dropout": 2, "native_dropout_backward": 2,
    "_cdist_forward": 1,
}  # fmt: skip

_OPERAND_WEIGHTS = {
    # Reductions and running sums
    "mean": 1, "prod": 1, "amax": 1, "amin": 1, "max": 1, "min": 1, "aminmax": 1, "argmax": 1, "argmin": 1,
    "any": 1, "all": 1, "norm": 1, "linalg_vector_norm": 1, "nansum": 1, "count_nonzero": 1, "bincount": 1,
    "cumsum": 1, "cumprod": 1, "cummax": 1, "cummin": 1, "_cummax_helper": 1, "_cummin_helper": 1,
    "logcumsumexp": 1, "_logcumsumexp": 1,
    "dist": 2,  # the difference, and its size
    "var": 2, "var_mean": 2, "std": 2, "std_mean": 2, "logsumexp": 3,
    # A selection is one pass over the row
    "topk": 1, "kthvalue": 1, "median": 1, "mode": 1, "searchsorted": 1, "bucketize": 1,
    "embedding_dense_backward": 1, "unfold_backward": 1,
}  # fmt: skip

_NOTHING = (
    # Copies and casts
    "clone", "_to_copy", "copy", "cat", "stack", "repeat", "roll", "flip", "rot90", "repeat_interleave", "block_diag",
    "constant_pad_nd", "lift_fresh", "lift_fresh_copy", "complex",
    "as_strided_copy", "view_copy", "expand_copy", "unfold_copy", "_reshape_copy",
    # Fills, counts and random numbers
    "_efficientzerotensor",
    "empty", "empty_like", "empty_strided", "empty_permuted", "new_empty", "new_empty_strided",
    "zeros", "zeros_like", "new_zeros",
    "ones", "ones_like", "new_ones", "full", "full_like", "new_full", "scalar_tensor", "fill", "zero", "arange",
    "linspace", "eye", "tril_indices", "triu_indices", "resize", "set", "normal", "uniform", "bernoulli", "random",
    "randint", "randint_like", "rand", "rand_like", "randn", "randn_like", "randperm", "exponential", "multinomial",
    "poisson", "geometric", "log_normal", "cauchy",
    # Masks
    "where", "masked_fill", "masked_select", "masked_scatter", "tril", "triu", "nonzero",
    # Look-ups, and pieces put into their place
    "embedding", "index", "_unsafe_index", "index_select", "gather", "take", "scatter", "index_copy", "index_fill",
    "slice_scatter", "select_scatter", "diagonal_scatter", "as_strided_scatter", "select_backward", "slice_backward",
    "diagonal_backward", "diag_embed", "diagonal_copy", "masked_scatter_backward", "lu_unpack",
    "value_selecting_reduction_backward",
    # Questions
    "_local_scalar_dense", "_assert_async", "_assert_scalar", "_functional_assert_async",
)  # fmt: skip

_FUSED_ATTENTION = (
    "flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention",
    "fused_attention_overrideable",
)  # fmt: skip

POINTWISE: dict[str, Formula] = (
    {f"aten::{name}": nothing for name in _NOTHING}
    | {f"aten::{name}": of_result(weight) for name, weight in _RESULT_WEIGHTS.items()}
    | {f"aten::{name}": of_operand(weight) for name, weight in _OPERAND_WEIGHTS.items()}
    | {f"aten::{name}": _fused_step(weight) for name, weight in _FUSED_STEPS.items()}
    | {
        "aten::add": _add,
        "aten::sub": _add,
        "aten::mul": _multiply,
        "aten::sum": _sum,
        "aten::gelu": _gelu,
        "aten::gelu_backward": _gelu_backward,
        "aten::native_layer_norm": _layer_norm,
        "aten::native_layer_norm_backward": _layer_norm_backward,
        "aten::native_group_norm": _group_norm,
        "aten::native_group_norm_backward": _backward_with_mask_last,
        "aten::native_batch_norm": _group_norm,
        "aten::_native_batch_norm_legit": _group_norm,
        "aten::_native_batch_norm_legit_no_training": _group_norm,
        "aten::native_batch_norm_backward": _backward_with_mask_last,
        "aten::convolution": _bias,
        "aten::_convolution": _bias,
        "aten::convolution_backward": _bias_backward,
        "aten::mkldnn_rnn_layer": _lstm,
        "aten::mkldnn_rnn_layer_backward": _lstm_backward,
        "aten::nll_loss_forward": lambda x, target, *_, **__: target.numel(),
        "aten::nll_loss2d_forward": lambda x, target, *_, **__: target.numel(),
        "aten::nll_loss_backward": lambda g, x, target, *_, **__: target.numel(),
        "aten::nll_loss2d_backward": lambda g, x, target, *_, **__: target.numel(),
        "aten::sort": _sort,
        "aten::argsort": _sort,
        "aten::msort": _sort,
        "aten::scatter_add": _scatter_add,
        "aten::index_add": _scatter_add,
        "aten::scatter_reduce": _scatter_add,
        "aten::_euclidean_dist": _euclidean,
        "aten::trace": lambda x, *_, **__: min(x.shape),
        "aten::put": _index_put,
        "aten::index_put": _index_put,
        "aten::_index_put_impl": _index_put,
        "aten::_unsafe_index_put": _index_put,
        "aten::_fft_r2c": _fft_scale,
        "aten::_fft_c2r": _fft_scale,
        "aten::_fft_c2c": _fft_scale,
    }
    | {f"aten::_scaled_dot_product_{kind}": _attention for kind in _FUSED_ATTENTION}
    | {f"aten::_scaled_dot_product_{kind}_backward": _attention_backward for kind in _FUSED_ATTENTION}
)
