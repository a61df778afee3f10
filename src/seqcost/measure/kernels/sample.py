"""Which kernels make a profile of a CPU: few enough for a minute on two cores, spread over what models launch.

Each operator is measured from a launch of next to nothing, which is its dispatch, to sizes that no cache holds. Thin
products, which decoding needs, and one streaming operator for all are measured three times: on operands in the nearest
caches, and on those that take turns in pools (`POOLS`), as a model has them that touches so much between two uses.
Not covered: what costs more than `MOST_FLOPS` a launch; prediction holds the utilisation of the largest measured one.
"""

from collections.abc import Iterator

from seqcost.algebra.work import Kernel
from seqcost.measure.kernels.case import Case

NOTHING = 64  # elements of a launch that is all dispatch
MOST_FLOPS = 6e9

# Streaming operators, and those of them that are followed beyond the caches.
FOLLOWED = ("add", "mul", "clone", "gelu", "exp", "zeros")
# elements: of three tensors of float32 together 96 KiB to 512 MiB
FAR = (*(2**power for power in (13, 15, 17, 19, 21, 22, 23, 25)), 2**27 // 3)
NEAR = (2**12, 2**16, 2**20)
# Bytes that operands take turns in: what the last cache holds and the others do not, and what none holds.
POOLS = (2**23, 2**27)
POOLED = tuple(2**power for power in (10, 12, 14, 16, 18))
ELEMENTWISE = (
    "neg", "exp", "tanh", "sigmoid", "gelu", "silu", "relu", "elu", "softplus", "log_sigmoid_forward", "rsqrt", "sqrt",
    "abs", "sin", "cos", "log", "log1p", "erf", "reciprocal", "add", "sub", "mul", "div", "maximum", "minimum",
    "logaddexp", "eq", "lt", "ge", "addcmul", "where", "masked_fill", "pow", "tanh_backward", "sigmoid_backward",
    "gelu_backward", "silu_backward", "softplus_backward", "elu_backward", "threshold_backward",
)  # fmt: skip
COPIES = ("clone", "_to_copy", "stack", "cat")
FILLS = ("zeros", "zeros_like", "ones_like", "arange")
STREAMING = (
    *((Kernel.ELEMENTWISE, operator) for operator in ELEMENTWISE),
    *((Kernel.COPY, operator) for operator in COPIES),
    *((Kernel.FILL, operator) for operator in FILLS),
)
LOOKED_UP = (
    (Kernel.GATHER, "embedding"), (Kernel.GATHER, "gather"), (Kernel.GATHER, "index"),
    (Kernel.SCATTER, "embedding_dense_backward"), (Kernel.SCATTER, "scatter_add"),
)  # fmt: skip
OVER_ROWS = {
    Kernel.REDUCTION: ("sum", "mean", "amax", "logsumexp"),
    Kernel.SCAN: ("cumsum", "logcumsumexp"),
    Kernel.SOFTMAX: ("_softmax", "_log_softmax", "_softmax_backward_data", "_log_softmax_backward_data"),
    Kernel.NORM: ("native_layer_norm", "native_layer_norm_backward"),
    Kernel.SORT: ("sort", "topk"),
}
ROWS_AND_LENGTHS = (
    (1, 64), (64, 64), (1024, 64), (16384, 64), (1, 1024), (64, 1024), (1024, 1024), (1, 65536), (16, 65536),
)  # fmt: skip

WEIGHTS = (
    (64, 64),
    (128, 128),
    (128, 512),
    (256, 256),
    (512, 512),
    (512, 2048),
    (2048, 512),
    (1024, 1024),
    (256, 8192),
)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048)
POOLED_ROWS = (1, 4, 16, 64)
GRADIENTS = ((64, 64, 64), (64, 512, 64), (256, 128, 256), (256, 1024, 256), (512, 64, 512), (512, 512, 512),
             (512, 2048, 512), (2048, 256, 512), (512, 256, 2048), (1024, 1024, 1024))  # fmt: skip
BATCHED = (  # b, m, k, n: one token against a cache, scores and sums, chunks, small matrices one after the other
    *((b, 1, k, n) for b in (4, 16, 64) for k, n in ((64, 256), (256, 64), (64, 64))),
    *((b, C, k, C) for b in (4, 16, 64) for C, k in ((16, 64), (64, 64), (256, 64))),
    *((b, C, C, k) for b in (4, 16, 64) for C, k in ((16, 64), (64, 64), (256, 64))),
    (256, 16, 16, 16), (256, 64, 16, 64), (1024, 16, 32, 16), (8, 1024, 64, 1024), (8, 1024, 1024, 64),
    (512, 1, 16, 64),
)  # fmt: skip
ATTENTION = ((1, 4, 16), (1, 4, 32), (1, 8, 64), (4, 8, 64))  # sequences, heads, width of a head
FUSED = ("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention_for_cpu_backward")
LENGTHS = (16, 64, 256, 512, 1024, 2048)
ONE_TOKEN = ((1, 8, 1, 256, 64, 64), (1, 8, 1, 2048, 64, 64), (4, 8, 1, 1024, 64, 64))
CONVOLUTIONS = (  # sequences, channels in, channels out, taps, positions out; depthwise has one channel in
    *((1, 1, D, 4, T) for D in (128, 1024) for T in (4, 64, 512, 2048)),
    *((1, D, D, 3, T) for D in (64, 256) for T in (4, 64, 512, 2048)),
)
RECURRENCES = tuple(
    (T, B, D, D) for T in (1, 16, 64, 256) for B, D in ((1, 64), (1, 128), (1, 256), (1, 512), (8, 128), (8, 256))
)
FFTS = tuple((rows, length) for rows in (8, 512) for length in (128, 1024, 8192))


def cpu_cases(dtype: str) -> Iterator[Case]:
    """The kernels of a profile, in a data type."""
    for case in _all(dtype):
        if case.flops <= MOST_FLOPS:
            yield case


def _all(dtype: str) -> Iterator[Case]:
    def case(kernel: Kernel, operator: str, sizes: tuple[int, ...], *, pool: int = 0, again: bool = False) -> Case:
        return Case(kernel=kernel, operator=operator, sizes=sizes, dtype=dtype, pool=pool, again=again)

    several: tuple[tuple[int, ...], ...]
    for k, n in WEIGHTS:
        for m in ROWS:
            yield case(Kernel.PRODUCT, "addmm", (m, k, n))
            if m in POOLED_ROWS:
                yield from (case(Kernel.PRODUCT, "addmm", (m, k, n), pool=pool) for pool in POOLS)
                yield case(Kernel.PRODUCT, "addmm", (m, k, n), again=True)
        for m in ROWS[::3]:
            yield case(Kernel.PRODUCT, "mm", (m, k, n))
    for several, kernel, operators in (
        ((*GRADIENTS, *((D, 1, D) for D in (64, 256, 512, 1024))), Kernel.PRODUCT, ("mm",)),
        (BATCHED, Kernel.BATCHED_PRODUCT, ("bmm",)),
        (tuple((B, H, T, T, K, K) for B, H, K in ATTENTION for T in LENGTHS), Kernel.ATTENTION, FUSED),
        (ONE_TOKEN, Kernel.ATTENTION, FUSED[:1]),
        (CONVOLUTIONS, Kernel.CONVOLUTION, ("convolution", "convolution_backward")),
        (RECURRENCES, Kernel.RECURRENCE, ("mkldnn_rnn_layer", "mkldnn_rnn_layer_backward")),
        (FFTS if dtype == "float32" else (), Kernel.FFT, ("_fft_r2c", "_fft_c2r")),
        *((tuple((n,) for n in (NOTHING, *NEAR)), kind, (operator,)) for kind, operator in LOOKED_UP),
    ):
        for sizes in several:
            yield from (case(kernel, operator, sizes) for operator in operators)
    for kernel, operator in STREAMING:
        for n in (NOTHING, *(FAR if operator in FOLLOWED else NEAR)):
            yield case(kernel, operator, (n,))
    for n in POOLED:
        yield from (case(Kernel.ELEMENTWISE, "mul", (n,), pool=pool) for pool in POOLS)
    for kernel, operators in OVER_ROWS.items():
        for operator in operators:
            for shape in ROWS_AND_LENGTHS:
                yield case(kernel, operator, shape)
