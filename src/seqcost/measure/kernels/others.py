"""Every other kernel to be timed: fused attention, and what streams, reduces, sorts, looks up or steps through time.

Sizes are those of a row of work. Element-wise kernels run over working sets from the smallest cache to far beyond the
largest. Not covered: sparse formats, quantised ones.
"""

from collections.abc import Iterator
from math import prod

from seqcost.algebra.work import Direction, Kernel
from seqcost.measure.kernels.case import ITEMSIZE, Case

BOTH = (Direction.FORWARD, Direction.BACKWARD)
TENSORS = tuple(2**power for power in (15, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30))  # bytes of one
STREAMING = ("copy", "add", "mul", "exp", "gelu", "silu", "sigmoid", "addcmul", "swiglu", "cast", "fill", "transpose")
KIND = {"copy": Kernel.COPY, "cast": Kernel.COPY, "transpose": Kernel.COPY, "fill": Kernel.FILL}
ROWS_AND_LENGTHS = tuple(
    (rows, length)
    for length in (64, 256, 1024, 4096, 16384, 50257)
    for rows in (1, 64, 1024, 8192, 65536)
    if rows * length <= 2**29
)
ATTENTION = (  # sequences, heads, width of a head
    (1, 12, 64), (8, 12, 64), (1, 32, 128), (4, 32, 128), (2, 8, 256),
)  # fmt: skip
LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
MOST_ATTENTION = {"float32": 2e12, "bfloat16": 1e13, "float16": 1e13}  # FLOPs of one launch
RECURRENCES = tuple(  # steps, sequences, width in, hidden width
    (steps, sequences, width, width)
    for steps in (16, 128, 1024)
    for sequences in (1, 8, 64)
    for width in (128, 512, 1024, 2048)
)
CONVOLUTIONS = {  # sequences, channels in, channels out, taps, positions out; depthwise has one channel in
    "depthwise": [(B, 1, D, 4, T) for B in (1, 8) for D in (768, 4096) for T in (256, 1024, 4096)],
    "dense": [(B, D, D, taps, T) for B in (1, 8) for D in (256, 768) for taps in (3, 9) for T in (256, 1024, 4096)],
}
FFTS = tuple((rows, length) for length in (256, 1024, 4096, 16384, 65536) for rows in (64, 768, 6144))


def others(dtype: str, *, few: bool = False) -> Iterator[Case]:
    """All kernels but products, in a format; `few`: attention and a handful of streaming ones."""
    yield from _attention(dtype)
    yield from _streaming(dtype, STREAMING[:5] if few else STREAMING)
    if few:
        return
    yield from _over_rows(dtype)
    yield from _looking_up(dtype)
    for operator, several in CONVOLUTIONS.items():
        for z in several:
            for direction in BOTH:
                yield _case(Kernel.CONVOLUTION, operator, z, dtype, direction)
    for steps, sequences, width, hidden in RECURRENCES:
        for operator in ("lstm", "gru", "rnn") if (width, sequences) == (512, 8) else ("lstm",):
            for direction in BOTH:
                yield _case(Kernel.RECURRENCE, operator, (steps, sequences, width, hidden), dtype, direction)
    if dtype == "float32":
        for sizes in FFTS:
            yield from (_case(Kernel.FFT, operator, sizes, dtype) for operator in ("rfft", "irfft"))


def _attention(dtype: str) -> Iterator[Case]:
    for B, H, K in ATTENTION:
        for T in LENGTHS:
            for causal in (False, True):
                for direction in BOTH:
                    found = _case(Kernel.ATTENTION, "attention", (B, H, T, T, K, K), dtype, direction, causal=causal)
                    if found.flops <= MOST_ATTENTION[dtype]:
                        yield found
    for B, H, K in ((1, 12, 64), (1, 32, 128), (16, 32, 128)):  # one token against a cache
        for S in (128, 512, 2048, 8192, 32768):
            yield _case(Kernel.ATTENTION, "attention", (B, H, 1, S, K, K), dtype)


def _streaming(dtype: str, operators: tuple[str, ...]) -> Iterator[Case]:
    for operator in operators:
        for size in TENSORS:
            yield _case(KIND.get(operator, Kernel.ELEMENTWISE), operator, (size // ITEMSIZE[dtype],), dtype)
    for size in TENSORS[::3]:
        n = (size // ITEMSIZE[dtype],)
        yield _case(Kernel.RANDOM, "normal", n, dtype)
        yield _case(Kernel.RANDOM, "dropout", n, dtype)
        if size <= 2**29:
            yield _case(Kernel.ELEMENTWISE, "adamw", n, dtype, Direction.OPTIMIZER)


def _over_rows(dtype: str) -> Iterator[Case]:
    for z in ROWS_AND_LENGTHS:
        for direction in BOTH:
            yield _case(Kernel.SOFTMAX, "softmax", z, dtype, direction)
            if z[1] < 50257:
                yield _case(Kernel.NORM, "layer_norm", z, dtype, direction)
        if z[1] == 50257:
            yield _case(Kernel.SOFTMAX, "log_softmax", z, dtype)
            continue
        yield _case(Kernel.NORM, "rms_norm", z, dtype)
        for operator in ("sum", "sum_rows", "amax"):  # of each row; over the rows; greatest of each row
            yield _case(Kernel.REDUCTION, operator, z, dtype)
        yield _case(Kernel.SCAN, "cumsum", z, dtype)
        if prod(z) <= 2**26:
            yield _case(Kernel.SCAN, "cumsum_rows", z, dtype)
            yield from (_case(Kernel.SORT, operator, z, dtype) for operator in ("sort", "topk"))


def _looking_up(dtype: str) -> Iterator[Case]:
    for tokens in (64, 1024, 8192, 65536):
        for D in (64, 768, 4096):
            sizes = (tokens * D,)
            for kernel, operators in (
                (Kernel.GATHER, ("embedding", "index_select", "gather")),
                (Kernel.SCATTER, ("index_add", "embedding_backward", "scatter_add")),
            ):
                yield from (_case(kernel, f"{operator}:{D}", sizes, dtype) for operator in operators)


def _case(
    kernel: Kernel,
    operator: str,
    sizes: tuple[int, ...],
    dtype: str,
    direction: Direction = Direction.FORWARD,
    *,
    causal: bool = False,
) -> Case:
    tf32 = dtype == "float32" and kernel in (Kernel.CONVOLUTION, Kernel.RECURRENCE)  # PyTorch's default for cuDNN
    return Case(
        kernel=kernel, operator=operator, sizes=sizes, dtype=dtype, direction=direction, causal=causal, tf32=tf32
    )
