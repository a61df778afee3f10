"""Matrix products to be timed: those of layers at many batch sizes, square ones, and the many small ones of engines.

Sizes are m, k, n of [m,k] @ [k,n]. Thin products (m from 1 on) are those of decoding. Not covered: 8-bit formats.
"""

from collections.abc import Iterator

from seqcost.algebra.work import Kernel
from seqcost.measure.kernels.case import Case

WEIGHTS = (  # k, n: width in and out of a layer
    (512, 512), (768, 768), (768, 3072), (3072, 768), (768, 50257), (1024, 4096), (2048, 2048), (4096, 1024),
    (4096, 4096), (4096, 11008), (11008, 4096), (4096, 32000), (8192, 8192),
)  # fmt: skip
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
FEW_ROWS = (1, 8, 32, 128, 512, 2048, 8192)
SQUARE = (64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288)
ODD = ((1000, 1000, 1000), (1023, 1024, 1025), (127, 768, 3072), (129, 768, 3072), (300, 513, 511), (2047, 4095, 4097))
BATCHED = (  # b, m, k, n: scores and sums of attention, chunks of recurrences, steps of decoding
    *((b, T, K, T) for b in (12, 96) for K in (64, 128) for T in (64, 256, 1024, 2048)),
    *((b, T, T, K) for b in (12, 96) for K in (64, 128) for T in (64, 256, 1024, 2048)),
    *((b, C, K, C) for b in (256, 2048, 16384) for C, K in ((16, 16), (16, 64), (64, 64), (64, 128))),
    *((b, C, C, K) for b in (256, 2048, 16384) for C, K in ((16, 64), (64, 128))),
    *((b, 1, 64, S) for b in (12, 96, 768) for S in (128, 1024, 8192)),
    *((b, 1, S, 64) for b in (12, 96, 768) for S in (128, 1024, 8192)),
    *((8, m, 1024, 1024) for m in (1, 16, 128, 1024)),
)
MOST_FLOPS = {"float32": 3e12, "bfloat16": 2e13, "float16": 2e13}  # of one launch
MOST_BYTES = 8 * 2**30
COLD_BYTES = 256 * 2**20  # of operands that take turns: more than a GPU's cache holds


def products(dtype: str, *, tf32: bool = False, few: bool = False) -> Iterator[Case]:
    """Products in a format; `few`: at half of the row counts, and weights alone."""
    return iter(dict.fromkeys(_products(dtype, tf32, few)))  # a square one may be a layer's as well


def _products(dtype: str, tf32: bool, few: bool) -> Iterator[Case]:
    for k, n in WEIGHTS:
        for m in FEW_ROWS if few else ROWS:
            yield _product("linear", (m, k, n), dtype, tf32, pool=COLD_BYTES if m <= 1024 else 0)
    for width in SQUARE[::2] if few else SQUARE:
        yield _product("linear", (width, width, width), dtype, tf32)
    if few:
        return
    for k, n in WEIGHTS[::2]:
        for m in (1, 16, 256):
            yield _product("linear", (m, k, n), dtype, tf32)  # what a cache gives a thin product
        for m in (512, 4096):  # the two products of a linear layer's backward pass
            yield _product("input_gradient", (m, n, k), dtype, tf32)
            yield _product("weight_gradient", (n, m, k), dtype, tf32)
    for sizes in ODD:
        yield _product("linear", sizes, dtype, tf32)
    for batched in BATCHED:
        yield Case(kernel=Kernel.BATCHED_PRODUCT, operator="bmm", sizes=batched, dtype=dtype, tf32=tf32)


def fits(case: Case) -> bool:
    """Whether a case takes no more time and memory than a sweep can give it."""
    return case.flops <= MOST_FLOPS[case.dtype] and case.bytes <= MOST_BYTES


def _product(operator: str, sizes: tuple[int, int, int], dtype: str, tf32: bool, *, pool: int = 0) -> Case:
    return Case(kernel=Kernel.PRODUCT, operator=operator, sizes=sizes, dtype=dtype, tf32=tf32, pool=pool)
