"""Memory that a kernel of PyTorch takes and gives back within one call, besides its operands and results, on a CPU.

One table for formulas and trace: functions of sizes. Buffers that each thread takes for itself are counted for as many
threads as there are. What oneDNN takes stands in `formulas.ops.onednn`.

Sources (PyTorch 2.13, aten/src/ATen/native/): cpu/FlashAttentionKernel.cpp `cpu_flash_attention`(`_backward`);
cpu/layer_norm_kernel.cpp; LinearAlgebra.cpp `addmm_impl_cpu_`, `bmm_out_or_baddbmm_`; cpu/SortingKernel.cpp.
"""

from seqcost.algebra import Size, minimum, where

FLOAT = 4  # bytes of what kernels add up in, at least
INDEX = 8  # bytes of a place
KEY_BLOCK = 512


def attention_blocks(queries: Size, keys: Size) -> tuple[Size, Size]:
    """Queries and keys of a tile of fused attention."""
    longest = where(queries >= 768, 256, where(queries >= 192, 64, 32))
    return minimum(longest, queries), minimum(KEY_BLOCK, keys)


def attention_bytes(queries: Size, keys: Size, width: Size, itemsize: int, threads: int) -> Size:
    """Fused attention forward: a tile of scores, two numbers per row, and the rows of the result under way."""
    rows, columns = attention_blocks(queries, keys)
    buffer = (rows * columns + 2 * rows + rows * width) * max(FLOAT, itemsize)
    if itemsize < FLOAT:
        buffer = buffer + rows * columns * itemsize
    return buffer * threads


def attention_backward_bytes(queries: Size, keys: Size, itemsize: int, threads: int) -> Size:
    """Fused attention backward: two tiles, and the sums of a block of rows."""
    rows, columns = attention_blocks(queries, keys)
    accumulator = max(FLOAT, itemsize)
    element = accumulator + (itemsize if itemsize < FLOAT else 0)
    return 2 * rows * columns * element * threads + rows * accumulator


def layer_norm_backward_bytes(width: Size, itemsize: int, threads: int) -> Size:
    """The gradients of gain and shift that each thread adds up."""
    return 2 * threads * width * max(FLOAT, itemsize)


def gelu_backward_bytes(gradient_bytes: Size, *, is_dense: bool, lies_as_input: bool) -> Size:
    """By oneDNN, which wants both operands in one layout, and the result then in the other."""
    if not is_dense:
        return gradient_bytes
    return 0 if lies_as_input else 2 * gradient_bytes


def number_bytes(itemsize: Size, *, whole: bool = False) -> Size:
    """A plain number becomes a tensor of 8 bytes, cast to the type of the other operand (TensorIterator.cpp).

    A real number beside float64 needs no cast, nor a whole one beside int64; a `whole` one beside float64 does.
    """
    return 8 if isinstance(itemsize, int) and itemsize == 8 and not whole else 8 + itemsize


def sort_bytes(length: Size) -> Size:
    """The places of one row, in the order under way."""
    return INDEX * length


TINY_PRODUCT = 400  # multiplications of one matrix by another of a batch, below which no copy is made


def is_tiny(m: Size, k: Size, n: Size) -> bool:
    """Whether products of a batch are so small that BLAS is not asked."""
    amount = m * k * n
    return isinstance(amount, int) and amount < TINY_PRODUCT


def blas_reads(rows: Size, columns: Size, by_row: Size, by_column: Size) -> bool:
    """Whether a matrix with these strides is read as it lies, transposed or not; else it is copied first."""

    def steps(outer: Size, inner: Size, width: Size) -> bool:
        if not (isinstance(inner, int) and inner == 1):
            return False
        if isinstance(outer, int) and isinstance(width, int):
            return outer >= max(1, width)
        return not (isinstance(outer, int) and outer == 0)  # a row that stands for all of them

    return steps(by_row, by_column, columns) or steps(by_column, by_row, rows)
