"""What oneDNN's fused LSTM keeps between forward and backward, and what it takes for one call, to the byte.

PyTorch runs a float32 or bfloat16 `nn.LSTM` on a CPU as one oneDNN primitive for each layer and direction, and
autograd keeps the primitive's workspace: the gates, the hidden and cell states of every step, and room for the
gradients of the states, which the backward pass fills.

Source: oneDNN v3.12 (the version in PyTorch 2.13), src/cpu/rnn/rnn_utils.hpp `init_conf` and `set_workspace_sizes`,
src/cpu/rnn/rnn_utils.cpp `get_good_ld` and `set_offsets`, src/cpu/x64/rnn/rnn_brgemm_utils.cpp. Projections
(`proj_size`) are not here: PyTorch runs them without oneDNN.

Not covered: what a backward pass takes in bfloat16, where PyTorch also casts the gradients to float32 and packs the
weights anew, and the sums of the weights' gradients are float32; `lstm_backward_bytes` says less than it takes there.
"""

from typing import Any

from seqcost.algebra import Size, ceil_div, maximum, where
from seqcost.formulas.ops.onednn.sizes import FLOAT, LANES, PAGE

CACHE_LINE = 64  # bytes; rows of a matrix start on one
ALIASING_ELEMENTS = 256  # a row of a multiple of this many elements is lengthened by a cache line
BOOK_KEEPING = 4664  # alignment of the whole scratchpad and the arrays of pointers in it
BATCH_ELEMENT = 40  # bytes of a brgemm_batch_element_t
FIXED_BATCH = 128
MERGED_GEMM_BELOW = 128  # rows from which the inputs of one step are multiplied at a time


def leading_dimension(width: Size, itemsize: int) -> Size:
    """Elements from one row to the next: `get_good_ld`."""
    line = CACHE_LINE // itemsize
    padded = ceil_div(width, line) * line
    aliases = ceil_div(padded, ALIASING_ELEMENTS) * ALIASING_ELEMENTS <= padded
    return where(aliases, padded + line, padded)


def lstm_workspace_bytes(*, B: Size, T: Size, D: Size, N: Size, itemsize: int = 4) -> Size:
    """Bytes of the workspace of one layer in one direction: input width D, state width N."""
    rows = B * T
    cells = 2 * B * (T + 1)  # (layers + 1) × (steps + 1): an initial state in either direction
    widest = maximum(D, N)
    h = cells * leading_dimension(widest, itemsize) * itemsize
    diff_h = cells * leading_dimension(widest, FLOAT) * FLOAT
    arrays = (
        rows * leading_dimension(4 * N, itemsize) * itemsize,  # gates
        rows * leading_dimension(N, itemsize) * itemsize,  # h before a projection
        h,
        cells * N * itemsize,  # c
        diff_h,  # by way of the layer above
        diff_h,  # by way of the next step
        cells * N * FLOAT,  # gradient of c
    )
    return sum((_pages(array) for array in arrays), start=0)


def _pages(size_bytes: Size) -> Size:
    return ceil_div(size_bytes, PAGE) * PAGE


def lstm_inference_bytes(*, B: Size, T: Size, D: Size, N: Size, itemsize: int, threads: int) -> Size:
    """Taken for one call without gradients: the weights packed in blocks of 32 gates, and all states."""
    gate_row, state_row = leading_dimension(4 * N, itemsize), leading_dimension(N, itemsize)
    weights = (D + N) * 4 * ceil_div(N, 32) * 32 * itemsize
    states = _pages(2 * (T + 1) * B * leading_dimension(maximum(D, N), itemsize) * itemsize)
    cells = _pages(2 * (T + 1) * B * N * itemsize)
    steps = _pages(B * gate_row * FLOAT) + _pages(B * state_row * itemsize)
    batches = threads * BATCH_ELEMENT * where(_equal(D, N), 4, 2)
    return _bias(N, itemsize) + weights + states + cells + steps + BOOK_KEEPING + FIXED_BATCH + batches


def lstm_forward_bytes(*, B: Size, T: Size, D: Size, N: Size, itemsize: int) -> Size:
    """Taken for one call that a backward pass will follow."""
    merged = where(B < MERGED_GEMM_BELOW, T, 1)
    return _bias(N, itemsize) + _training(B, D, N, merged, itemsize)


def lstm_backward_bytes(*, B: Size, T: Size, D: Size, N: Size, itemsize: int, copied: Size) -> Size:
    """Taken for one call backward; `copied` bytes of gradients are brought into one piece, or zeros where absent."""
    # Gradients of weights whose rows are no whole vectors are summed in blocks of rows, and copied out of them.
    blocks = sum((where(_in_vectors(width) > width, _in_vectors(width), 0) for width in (D, N)), start=0)
    return _bias(N, itemsize) + copied + blocks * 4 * N * itemsize + _training(B, D, N, T, itemsize)


def _training(B: Size, D: Size, N: Size, steps: Size, itemsize: int) -> Size:
    gate_row, state_row = leading_dimension(4 * N, itemsize), leading_dimension(N, itemsize)
    gates = _pages(steps * B * leading_dimension(4 * N, FLOAT) * FLOAT)
    states = _pages(B * state_row * itemsize) + _pages(B * state_row * FLOAT)
    return (D + N) * gate_row * itemsize + gates + states + BOOK_KEEPING


def _bias(N: Size, itemsize: int) -> Size:
    # Backward, a copy of the bias' gradient, made when the kernel has given its memory back, stands for a reorder.
    return 4 * N * itemsize


def _in_vectors(width: Size) -> Size:
    return ceil_div(width, LANES) * LANES


def _equal(a: Size, b: Size) -> Any:
    return a == b
