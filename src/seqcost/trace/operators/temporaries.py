"""Memory that a kernel takes and gives back within one call, besides its operands and results.

The tables are those of the formulas, `formulas.core.buffers` and `formulas.ops.onednn`; here they are asked for the
operands of a call, and joined by what only a trace meets. Exact for float32 and float64 on x86-64 with the kernels that
the models of this program use; what is not listed takes nothing or too little to matter.

Sources (PyTorch 2.13, aten/src/ATen/native/), besides those of the tables: layer_norm.cpp, SoftMax.cpp, mkldnn/RNN.cpp,
transformers/attention.cpp, EmbeddingBag.cpp, Sorting.cpp.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import is_non_overlapping_and_dense_or_false

from seqcost.fakes.fourier import to_real_bytes, transform_bytes
from seqcost.fakes.schemas import base_name
from seqcost.formulas.core.buffers import (
    INDEX,
    attention_backward_bytes,
    attention_bytes,
    blas_reads,
    gelu_backward_bytes,
    is_tiny,
    layer_norm_backward_bytes,
    sort_bytes,
)
from seqcost.formulas.ops.onednn.lstm import lstm_backward_bytes, lstm_forward_bytes, lstm_inference_bytes
from seqcost.trace.operators.casts import cast_bytes
from seqcost.trace.operators.convolutions import backward_bytes, forward_bytes


def temporary_bytes(operator: Any, args: Any, kwargs: Any, out: Any) -> Any:
    """Most bytes that the kernel holds at the moment when all its results exist."""
    formula = _FORMULAS.get(base_name(operator))
    if formula is not None:
        return formula(args, kwargs, out)
    return cast_bytes(operator, args, out)


def _bytes(tensor: Tensor) -> Any:
    return tensor.numel() * tensor.element_size()


def _copied(tensor: Any) -> Any:
    """A contiguous copy, where the tensor is not contiguous."""
    return 0 if tensor is None or tensor.is_contiguous() else _bytes(tensor)


def _attention(args: Any, kwargs: Any, out: Any) -> Any:
    query, key = args[0], args[1]
    _, _, queries, width = query.shape
    return attention_bytes(queries, key.shape[2], width, query.element_size(), torch.get_num_threads())


def _attention_backward(args: Any, kwargs: Any, out: Any) -> Any:
    gradient, query, key = args[0], args[1], args[2]
    threads = torch.get_num_threads()
    buffers = attention_backward_bytes(query.shape[2], key.shape[2], query.element_size(), threads)
    return buffers + _copied(gradient.transpose(1, 2))


def _layer_norm(args: Any, kwargs: Any, out: Any) -> Any:
    return _copied(args[0])


def _layer_norm_backward(args: Any, kwargs: Any, out: Any) -> Any:
    gradient, x, width = args[0], args[1], args[2]
    buffer = 0
    if out[1] is not None or out[2] is not None:
        buffer = layer_norm_backward_bytes(prod(width), x.element_size(), torch.get_num_threads())
    return _copied(gradient) + _copied(x) + buffer


def _softmax(args: Any, kwargs: Any, out: Any) -> Any:
    return _copied(args[0])


def _safe_softmax(args: Any, kwargs: Any, out: Any) -> Any:
    # a byte for every score that is −∞, one for every row of nothing else, and the zero that such rows get
    scores, dim = args[0], args[1]
    return scores.numel() + scores.numel() // max(1, scores.shape[dim]) + scores.element_size()


def _softmax_backward(args: Any, kwargs: Any, out: Any) -> Any:
    return _copied(args[0]) + _copied(args[1])


def _is_read(matrix: Tensor) -> bool:
    return blas_reads(*matrix.shape[-2:], *matrix.stride()[-2:])


def _product(*matrices: Tensor) -> Any:
    return sum(_bytes(m) for m in matrices if not _is_read(m))


def _mm(args: Any, kwargs: Any, out: Any) -> Any:
    return _product(*args[:2])


def _addmm(args: Any, kwargs: Any, out: Any) -> Any:
    return _product(*args[1:3])


def _bmm(args: Any, kwargs: Any, out: Any) -> Any:
    """One product after the other: a copy of one matrix at a time, unless they are tiny."""
    a, b = args[:2]
    if is_tiny(a.shape[1], a.shape[2], b.shape[2]):
        return 0
    return sum(_bytes(batch) // batch.shape[0] for batch in (a, b) if batch.shape[0] and not _is_read(batch))


def _gelu_backward(args: Any, kwargs: Any, out: Any) -> Any:
    gradient, x = args[:2]
    if kwargs.get("approximate", "none") != "none" or x.dtype == torch.float64:
        return 0
    return gelu_backward_bytes(
        _bytes(gradient),
        is_dense=is_non_overlapping_and_dense_or_false(gradient),
        lies_as_input=gradient.is_contiguous() or gradient.stride() == x.stride(),
    )


def _sort(args: Any, kwargs: Any, out: Any) -> Any:
    x, dim = args[0], kwargs.get("dim", args[1] if len(args) > 1 else -1)
    return sort_bytes(x.shape[dim] if x.dim() else 1)


def _kthvalue(args: Any, kwargs: Any, out: Any) -> Any:
    return _bytes(args[0]) + INDEX * args[0].numel()


def _median(args: Any, kwargs: Any, out: Any) -> Any:
    return _bytes(args[0])


def _embedding_bag_backward(args: Any, kwargs: Any, out: Any) -> Any:
    """Words in order, their places and bags; where the largest is taken, the rows and columns of what was largest."""
    gradient, indices, mode = args[0], args[1], args[8]
    if mode == 2:
        return _copied(gradient) + _bytes(gradient) + INDEX * (gradient.numel() + gradient.shape[0])
    bags = indices.numel() + 1 if mode == 0 else 0
    return _copied(gradient) + (3 * indices.numel() + bags) * INDEX


def _lstm(args: Any, kwargs: Any, out: Any) -> Any:
    sizes = _lstm_sizes(args)
    if torch.is_grad_enabled():
        return lstm_forward_bytes(**sizes)
    return lstm_inference_bytes(**sizes, threads=torch.get_num_threads())


def _lstm_backward(args: Any, kwargs: Any, out: Any) -> Any:
    sizes = _lstm_sizes(args)
    state = sizes["B"] * sizes["N"] * sizes["itemsize"]
    copied = 0
    for gradient, zeros in zip(args[10:13], (sizes["T"] * state, state, state), strict=True):
        copied = copied + (zeros if gradient is None else _copied(gradient))
    return lstm_backward_bytes(**sizes, copied=copied)


def _lstm_sizes(args: Any) -> dict[str, Any]:
    x, w_state = args[0], args[2]
    T, B, D = x.shape
    return {"B": B, "T": T, "D": D, "N": w_state.shape[-1], "itemsize": x.element_size()}


_FORMULAS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "aten::mm": _mm,
    "aten::addmm": _addmm,
    "aten::bmm": _bmm,
    "aten::gelu_backward": _gelu_backward,
    "aten::sort": _sort,
    "aten::kthvalue": _kthvalue,
    "aten::median": _median,
    "aten::_embedding_bag_backward": _embedding_bag_backward,
    "aten::_addmm_activation": _addmm,
    "aten::_softmax": _softmax,
    "aten::_log_softmax": _softmax,
    "aten::_safe_softmax": _safe_softmax,
    "aten::convolution": forward_bytes,
    "aten::convolution_backward": backward_bytes,
    "aten::_fft_r2c": transform_bytes,
    "aten::_fft_c2c": transform_bytes,
    "aten::_fft_c2r": to_real_bytes,
    "aten::_softmax_backward_data": _softmax_backward,
    "aten::_log_softmax_backward_data": _softmax_backward,
    "aten::native_layer_norm": _layer_norm,
    "aten::native_layer_norm_backward": _layer_norm_backward,
    "aten::_scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "aten::mkldnn_rnn_layer": _lstm,
    "aten::mkldnn_rnn_layer_backward": _lstm_backward,
}
