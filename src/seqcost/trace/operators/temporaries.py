"""Memory that a kernel takes and gives back within one call, besides its operands and results.

Exact for float32 and float64 on x86-64 with the kernels that the models of this program use; what is not listed takes
nothing or too little to matter. Buffers that each thread takes for itself are counted for the calling one, as
PyTorch's profiler does.

Sources (PyTorch 2.13, aten/src/ATen/native/): cpu/FlashAttentionKernel.cpp `cpu_flash_attention`(`_backward`);
layer_norm.cpp and cpu/layer_norm_kernel.cpp; LinearAlgebra.cpp `addmm_impl_cpu_`; SoftMax.cpp; mkldnn/RNN.cpp
with oneDNN v3.12 src/cpu/rnn/rnn_utils.cpp and src/cpu/x64/rnn/rnn_brgemm_utils.cpp.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch._prims_common import is_non_overlapping_and_dense_or_false

from seqcost.algebra import ceil_div, where
from seqcost.fakes.fourier import to_real_bytes, transform_bytes
from seqcost.fakes.schemas import base_name
from seqcost.formulas.parts.onednn import PAGE, leading_dimension
from seqcost.trace.operators.casts import cast_bytes
from seqcost.trace.operators.convolutions import backward_bytes, forward_bytes

_FLOAT = 4
_KEY_BLOCK = 512
_BOOK_KEEPING = 4664  # oneDNN's alignment of the whole scratchpad and the arrays of pointers in it
_BATCH_ELEMENT = 40  # bytes of a brgemm_batch_element_t
_FIXED_BATCH = 128
_INDEX = 8  # bytes
_TINY_PRODUCT = 400  # multiplications
_LANES = 16  # float32 numbers of a vector
_MERGED_GEMM_BELOW = 128  # rows from which oneDNN multiplies the inputs of one step at a time


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


def _query_block(queries: Any, keys: Any) -> tuple[Any, Any]:
    longest = 256 if queries >= 768 else 64 if queries >= 192 else 32
    return min(longest, queries), min(_KEY_BLOCK, keys)


def _reduced(tensor: Tensor) -> bool:
    return tensor.element_size() < _FLOAT


def _attention(args: Any, kwargs: Any, out: Any) -> Any:
    query, key = args[0], args[1]
    rows, columns = _query_block(query.shape[2], key.shape[2])
    accumulator = max(_FLOAT, query.element_size())
    buffer = (rows * columns + 2 * rows + rows * query.shape[3]) * accumulator
    if _reduced(query):
        buffer += rows * columns * query.element_size()
    return buffer * torch.get_num_threads()


def _attention_backward(args: Any, kwargs: Any, out: Any) -> Any:
    gradient, query, key = args[0], args[1], args[2]
    rows, columns = _query_block(query.shape[2], key.shape[2])
    accumulator = max(_FLOAT, query.element_size())
    element = accumulator + (query.element_size() if _reduced(query) else 0)
    buffers = 2 * rows * columns * element * torch.get_num_threads() + rows * accumulator
    return buffers + _copied(gradient.transpose(1, 2))


def _layer_norm(args: Any, kwargs: Any, out: Any) -> Any:
    return _copied(args[0])


def _layer_norm_backward(args: Any, kwargs: Any, out: Any) -> Any:
    gradient, x, width = args[0], args[1], args[2]
    buffer = 0
    if out[1] is not None or out[2] is not None:
        normalised = 1
        for size in width:
            normalised = normalised * size
        buffer = 2 * torch.get_num_threads() * normalised * max(_FLOAT, x.element_size())
    return _copied(gradient) + _copied(x) + buffer


def _softmax(args: Any, kwargs: Any, out: Any) -> Any:
    return _copied(args[0])


def _safe_softmax(args: Any, kwargs: Any, out: Any) -> Any:
    # a byte for every score that is −∞, one for every row of nothing else, and the zero that such rows get
    scores, dim = args[0], args[1]
    return scores.numel() + scores.numel() // max(1, scores.shape[dim]) + scores.element_size()


def _softmax_backward(args: Any, kwargs: Any, out: Any) -> Any:
    return _copied(args[0]) + _copied(args[1])


def _product(matrices: Iterator[Tensor]) -> Any:
    return sum(_bytes(m) for m in matrices if not _blas_can_read(m))


def _blas_can_read(matrix: Tensor) -> bool:
    (rows, columns), (by_row, by_column) = matrix.shape[-2:], matrix.stride()[-2:]
    return bool((by_column == 1 and by_row >= max(1, columns)) or (by_row == 1 and by_column >= max(1, rows)))


def _mm(args: Any, kwargs: Any, out: Any) -> Any:
    return _product(iter(args[:2]))


def _addmm(args: Any, kwargs: Any, out: Any) -> Any:
    return _product(iter(args[1:3]))


def _bmm(args: Any, kwargs: Any, out: Any) -> Any:
    """One product after the other: a copy of one matrix at a time, unless they are tiny (LinearAlgebra.cpp)."""
    if args[0].shape[1] * args[0].shape[2] * args[1].shape[2] < _TINY_PRODUCT:
        return 0
    return sum(_bytes(batch) // batch.shape[0] for batch in args[:2] if batch.shape[0] and not _blas_can_read(batch))


def _gelu_backward(args: Any, kwargs: Any, out: Any) -> Any:
    """By oneDNN, which wants both operands in one layout, and the result then in the other."""
    gradient, x = args[:2]
    if kwargs.get("approximate", "none") != "none" or x.dtype == torch.float64:
        return 0
    if not is_non_overlapping_and_dense_or_false(gradient):
        return _bytes(gradient)
    return 0 if gradient.is_contiguous() or gradient.stride() == x.stride() else 2 * _bytes(gradient)


def _sort(args: Any, kwargs: Any, out: Any) -> Any:
    x, dim = args[0], kwargs.get("dim", args[1] if len(args) > 1 else -1)
    return _INDEX * (x.shape[dim] if x.dim() else 1)


def _kthvalue(args: Any, kwargs: Any, out: Any) -> Any:
    return _bytes(args[0]) + _INDEX * args[0].numel()


def _median(args: Any, kwargs: Any, out: Any) -> Any:
    return _bytes(args[0])


def _embedding_bag_backward(args: Any, kwargs: Any, out: Any) -> Any:
    """Words in order, their places and bags; where the largest is taken, the rows and columns of what was largest."""
    gradient, indices, mode = args[0], args[1], args[8]
    if mode == 2:
        return _copied(gradient) + _bytes(gradient) + _INDEX * (gradient.numel() + gradient.shape[0])
    bags = indices.numel() + 1 if mode == 0 else 0
    return _copied(gradient) + (3 * indices.numel() + bags) * _INDEX


def _pages(size: Any) -> Any:
    return ceil_div(size, PAGE) * PAGE


def _lstm(args: Any, kwargs: Any, out: Any) -> Any:
    x, w_state = args[0], args[2]
    (T, B, D), N, itemsize = x.shape, w_state.shape[-1], x.element_size()
    bias = 4 * N * itemsize
    gate_row, state_row = leading_dimension(4 * N, itemsize), leading_dimension(N, itemsize)
    if torch.is_grad_enabled():
        merged = T if B < _MERGED_GEMM_BELOW else 1
        return bias + _lstm_training(B, D, N, merged, itemsize)
    # Inference packs the weights in blocks of 32 gates and keeps all states in the scratchpad.
    weights = (D + N) * 4 * ceil_div(N, 32) * 32 * itemsize
    states = _pages(2 * (T + 1) * B * leading_dimension(max(D, N), itemsize) * itemsize)
    cells = _pages(2 * (T + 1) * B * N * itemsize)
    steps = _pages(B * gate_row * _FLOAT) + _pages(B * state_row * itemsize)
    batches = torch.get_num_threads() * _BATCH_ELEMENT * (4 if D == N else 2)
    return bias + weights + states + cells + steps + _BOOK_KEEPING + _FIXED_BATCH + batches


def _lstm_training(B: Any, D: Any, N: Any, steps: Any, itemsize: int) -> Any:
    gate_row, state_row = leading_dimension(4 * N, itemsize), leading_dimension(N, itemsize)
    weights = (D + N) * gate_row * itemsize
    gates = _pages(steps * B * leading_dimension(4 * N, _FLOAT) * _FLOAT)
    return weights + gates + _pages(B * state_row * itemsize) + _pages(B * state_row * _FLOAT) + _BOOK_KEEPING


def _lstm_backward(args: Any, kwargs: Any, out: Any) -> Any:
    x, w_state, gradient, dh, dc = args[0], args[2], args[10], args[11], args[12]
    (T, B, D), N, itemsize = x.shape, w_state.shape[-1], x.element_size()
    bias = 4 * N * itemsize
    # Gradients that are absent become zeros. The copy of the bias gradient, made after the kernel has given its memory
    # back, stands for a reorder of it inside the kernel.
    gradients = _copied(gradient) if gradient is not None else T * B * N * itemsize
    gradients += sum(_copied(given) if given is not None else B * N * itemsize for given in (dh, dc))
    # Gradients of weights whose rows are no whole vectors are summed in blocks of rows, and copied out of them.
    blocks = sum(where(_in_vectors(width) > width, _in_vectors(width), 0) for width in (D, N))
    return bias + gradients + blocks * 4 * N * itemsize + _lstm_training(B, D, N, T, itemsize)


def _in_vectors(width: Any) -> Any:
    return ceil_div(width, _LANES) * _LANES


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
