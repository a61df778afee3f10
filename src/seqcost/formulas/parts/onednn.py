"""What oneDNN's fused LSTM keeps between forward and backward, to the byte.

PyTorch runs a float32 or bfloat16 `nn.LSTM` on a CPU as one oneDNN primitive for each layer and direction, and
autograd keeps the primitive's workspace: the gates, the hidden and cell states of every step, and room for the
gradients of the states, which the backward pass fills.

Source: oneDNN v3.12 (the version in PyTorch 2.13), src/cpu/rnn/rnn_utils.hpp `init_conf` and `set_workspace_sizes`,
src/cpu/rnn/rnn_utils.cpp `get_good_ld` and `set_offsets`. Not here: the scratchpad of one call, which is gone
when it returns (see the trace's temporaries); projections (`proj_size`), which PyTorch runs without oneDNN.
"""

from seqcost.algebra import Size, ceil_div, maximum, where

CACHE_LINE = 64  # bytes; rows of a matrix start on one
ALIASING_ELEMENTS = 256  # a row of a multiple of this many elements is lengthened by a cache line
PAGE = 4096  # bytes; every array of the workspace starts on one
ACCUMULATOR = 4  # bytes of an element of a gradient: float32 whatever the data type


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
    diff_h = cells * leading_dimension(widest, ACCUMULATOR) * ACCUMULATOR
    arrays = (
        rows * leading_dimension(4 * N, itemsize) * itemsize,  # gates
        rows * leading_dimension(N, itemsize) * itemsize,  # h before a projection
        h,
        cells * N * itemsize,  # c
        diff_h,  # by way of the layer above
        diff_h,  # by way of the next step
        cells * N * ACCUMULATOR,  # gradient of c
    )
    return sum((_pages(array) for array in arrays), start=0)


def _pages(size_bytes: Size) -> Size:
    return ceil_div(size_bytes, PAGE) * PAGE
