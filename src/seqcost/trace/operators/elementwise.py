"""Operations of the operators that work element by element, row by row or only move data.

Weights come from the table that formulas share (`formulas.core.pointwise`). Its rule for the rest: an element-wise
operator counts 1 for each element of its result, a reduction 1 for each element it reads (products and sums of
complex numbers as many as they have of real ones), and whatever copies,
casts, masks, fills or looks up counts 0 (its bytes count). Sorting counts one comparison per level, n·⌈log₂ n⌉ a row.
The adds of a bias that is fused into a product are pointwise too, so that they stay out of contractions.
"""

import math
from typing import Any

from seqcost.algebra.work import Kernel
from seqcost.formulas.core import pointwise
from seqcost.trace.operators.operator import (
    Formula,
    Operator,
    alike,
    elements,
    nothing,
    of_operand,
    of_result,
    one_table,
    tensors_of,
)  # fmt: skip


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


def _sort(x: Any, *args: Any, dim: int | None = None, **_: Any) -> Any:
    if dim is None:
        dim = next((a for a in args if isinstance(a, int) and not isinstance(a, bool)), -1)
    length = int(x.shape[dim]) if x.dim() else 1
    return x.numel() * math.ceil(math.log2(length)) if length > 1 else 0


def _scatter_add(x: Any, dim: Any, index: Any, source: Any = None, *_: Any, **__: Any) -> Any:
    return index.numel() if not hasattr(source, "numel") else source.numel()


def _index_put(x: Any, indices: Any, values: Any, accumulate: bool = False, *_: Any, **__: Any) -> Any:
    return values.numel() if accumulate else 0


def _add(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    return out.numel() * (pointwise.COMPLEX_ADD if out.is_complex() else 1)


def _multiply(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    if not out.is_complex():
        return out.numel()
    both = all(x.is_complex() if hasattr(x, "is_complex") else isinstance(x, complex) for x in (a, b))
    return out.numel() * (pointwise.COMPLEX_PRODUCT if both else pointwise.COMPLEX_SCALE)


def _sum(x: Any, *_: Any, **__: Any) -> Any:
    return x.numel() * (pointwise.COMPLEX_ADD if x.is_complex() else 1)


# Operations a parameter of a fused optimizer step: as many as the loop of plain operators has with PyTorch's defaults.
_FUSED_STEPS = {"_fused_sgd": 2, "_fused_adam": 11, "_fused_adamw": 12, "_fused_adagrad": 6}


def _fused_step(weight: int) -> Formula:
    return lambda parameters, *_, **__: weight * sum(p.numel() for p in parameters)


def _normed_sizes(x: Any, shape: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
    length = math.prod(shape)
    return (x.numel() // length if length else 0, length)


def _backward_sizes(g: Any, x: Any, shape: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
    return _normed_sizes(x, shape)


def _grouped_sizes(x: Any, *_: Any, out: Any, **__: Any) -> tuple[Any, ...]:
    rows = next((t.numel() for t in list(tensors_of(out))[1:2]), 1)  # as many as there are means
    return (rows, x.numel() // rows if rows else 0)


def _source_sizes(*args: Any, out: Any, **_: Any) -> tuple[Any, ...]:
    """What is put: the last tensor that is given."""
    given = list(tensors_of(args))
    return elements(*args, out=given[-1] if len(given) > 1 else out)


def _filled_sizes(x: Any, dim: int, index: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
    return (x.numel() // x.shape[dim] * index.numel(),)


def _step_sizes(parameters: Any, *_: Any, **__: Any) -> tuple[Any, ...]:
    return (sum(p.numel() for p in parameters),)


def _norm(formula: Formula, sizes: Formula) -> Operator:
    return Operator(Kernel.NORM, pointwise=formula, sizes=sizes)


def _put(formula: Formula) -> Operator:
    return Operator(Kernel.SCATTER, pointwise=formula, sizes=_source_sizes)


def _picked(kernel: Kernel, place: int, names: str) -> dict[str, Operator]:
    """One element for each target, which is the argument at a place."""
    return alike(kernel, lambda *args, **_: args[place].numel(), names, lambda *args, **_: (args[place].numel(),))


def _weighed(kernel: Kernel, of: Any, weights: dict[int, str]) -> dict[str, Operator]:
    return one_table(*(alike(kernel, of(weight), names) for weight, names in weights.items()))


_ACTIVATIONS = {
    "relu": pointwise.RELU, "threshold_backward": pointwise.RELU_BACKWARD,
    "tanh": pointwise.TANH, "tanh_backward": pointwise.TANH_BACKWARD,
    "sigmoid": pointwise.SIGMOID, "sigmoid_backward": pointwise.SIGMOID_BACKWARD,
    "silu": pointwise.SILU, "silu_backward": pointwise.SILU_BACKWARD,
}  # fmt: skip
# Operations a parameter of a fused optimizer step: as many as the loop of plain operators has with PyTorch's defaults.
_FUSED_STEPS = {"_fused_sgd": 2, "_fused_adam": 11, "_fused_adamw": 12, "_fused_adagrad": 6}
_COPIES = (
    "clone _to_copy copy cat stack repeat roll flip rot90 repeat_interleave block_diag constant_pad_nd lift_fresh "
    "lift_fresh_copy complex as_strided_copy view_copy expand_copy unfold_copy _reshape_copy tril triu slice_scatter "
    "select_scatter diagonal_scatter as_strided_scatter select_backward slice_backward diagonal_backward diag_embed "
    "diagonal_copy lu_unpack _local_scalar_dense"
)
_FILLS = (
    "_efficientzerotensor empty empty_like empty_strided empty_permuted new_empty new_empty_strided zeros zeros_like "
    "new_zeros ones ones_like new_ones full full_like new_full scalar_tensor fill zero arange linspace eye "
    "tril_indices triu_indices resize set"
)
_RANDOM = (
    "normal uniform bernoulli random randint randint_like rand rand_like randn randn_like randperm exponential "
    "multinomial poisson geometric log_normal cauchy"
)

POINTWISE: dict[str, Operator] = one_table(
    alike(Kernel.COPY, nothing, _COPIES),
    alike(Kernel.FILL, nothing, _FILLS),
    alike(Kernel.RANDOM, nothing, _RANDOM),
    alike(Kernel.ELEMENTWISE, nothing, "where masked_fill _assert_async _assert_scalar _functional_assert_async"),
    alike(Kernel.GATHER, nothing, "embedding index _unsafe_index index_select gather take masked_select nonzero"),
    {f"aten::{name}": _put(nothing) for name in ("scatter", "index_copy", "masked_scatter")},
    alike(Kernel.SCATTER, nothing, "masked_scatter_backward value_selecting_reduction_backward"),
    alike(Kernel.SCATTER, nothing, "index_fill", _filled_sizes),
    alike(Kernel.SOFTMAX, of_result(pointwise.SOFTMAX), "_softmax _safe_softmax"),
    alike(Kernel.SOFTMAX, of_result(pointwise.SOFTMAX_BACKWARD), "_softmax_backward_data"),
    alike(Kernel.SOFTMAX, of_result(pointwise.LOG_SOFTMAX), "_log_softmax"),
    alike(Kernel.SOFTMAX, of_result(pointwise.LOG_SOFTMAX_BACKWARD), "_log_softmax_backward_data"),
    *(alike(Kernel.ELEMENTWISE, of_result(weight), name) for name, weight in _ACTIVATIONS.items()),
    _weighed(Kernel.ELEMENTWISE, of_result, {
        1: "softplus_backward floor_divide elu_backward mish_backward hardtanh_backward leaky_relu_backward "
        "hardshrink_backward softshrink_backward hardsigmoid_backward log_sigmoid_forward log_sigmoid_backward",
        2: "addcmul addcdiv native_dropout native_dropout_backward",
        3: "lerp",
    }),
    _weighed(Kernel.REDUCTION, of_operand, {
        1: "mean prod amax amin max min aminmax argmax argmin any all norm linalg_vector_norm nansum count_nonzero",
        2: "dist var var_mean std std_mean",  # dist: the difference, and its size
        3: "logsumexp",
    }),
    alike(Kernel.SCAN, of_operand(1), "cumsum cumprod cummax cummin _cummax_helper _cummin_helper logcumsumexp "
                                      "_logcumsumexp"),
    alike(Kernel.SORT, of_operand(1), "topk kthvalue median mode"),  # a selection is one pass over the row
    alike(Kernel.SORT, _sort, "sort argsort msort"),
    alike(Kernel.GATHER, of_operand(1), "searchsorted bucketize"),
    alike(Kernel.SCATTER, of_operand(1), "bincount embedding_dense_backward unfold_backward"),
    {f"aten::{name}": _put(_scatter_add) for name in ("scatter_add", "index_add", "scatter_reduce")},
    {f"aten::{name}": _put(_index_put) for name in ("put", "index_put", "_index_put_impl", "_unsafe_index_put")},
    {
        f"aten::{name}": Operator(Kernel.ELEMENTWISE, pointwise=_fused_step(weight), sizes=_step_sizes)
        for name, weight in _FUSED_STEPS.items()
    },
    alike(Kernel.ELEMENTWISE, _add, "add sub"),
    alike(Kernel.ELEMENTWISE, _multiply, "mul"),
    alike(Kernel.ELEMENTWISE, _gelu, "gelu"),
    alike(Kernel.ELEMENTWISE, _gelu_backward, "gelu_backward"),
    alike(Kernel.REDUCTION, _sum, "sum"),
    alike(Kernel.REDUCTION, lambda x, *_, **__: min(x.shape), "trace"),
    _picked(Kernel.GATHER, 1, "nll_loss_forward nll_loss2d_forward"),
    _picked(Kernel.SCATTER, 2, "nll_loss_backward nll_loss2d_backward"),
    {
        "aten::native_layer_norm": _norm(_layer_norm, _normed_sizes),
        "aten::native_layer_norm_backward": _norm(_layer_norm_backward, _backward_sizes),
        "aten::native_group_norm": _norm(_group_norm, _grouped_sizes),
        "aten::native_group_norm_backward": _norm(_backward_with_mask_last, _grouped_sizes),
        "aten::native_batch_norm": _norm(_group_norm, _grouped_sizes),
        "aten::_native_batch_norm_legit": _norm(_group_norm, _grouped_sizes),
        "aten::_native_batch_norm_legit_no_training": _norm(_group_norm, _grouped_sizes),
        "aten::native_batch_norm_backward": _norm(_backward_with_mask_last, _grouped_sizes),
    },
)  # fmt: skip
