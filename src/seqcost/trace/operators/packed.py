"""Products by weights that are held packed: as many FLOPs as any product, and what unpacks a weight, once each.

The operators are `seqcost::packed_linear` and `seqcost::packed_grouped_mm` of programs/hugging_face; each formula is
called with the operator's own arguments and its result, as in `contractions`.
"""

from typing import Any

from seqcost.algebra.work import Kernel
from seqcost.trace.operators.operator import Operator


def _product(x: Any, stored: Any, width: int, unpacking: int, out: Any) -> Any:
    return 2 * x.numel() * width


def _unpacking(x: Any, stored: Any, width: int, unpacking: int, out: Any) -> Any:
    return unpacking * width * x.shape[-1]


def _grouped_product(x: Any, offsets: Any, stored: Any, width: int, unpacking: int, out: Any) -> Any:
    return 2 * x.numel() * width


def _grouped_unpacking(x: Any, offsets: Any, stored: Any, width: int, unpacking: int, out: Any) -> Any:
    return unpacking * stored[0].shape[0] * width * x.shape[-1]  # of all experts


def _sizes(x: Any, stored: Any, width: int, *_: Any, **__: Any) -> tuple[Any, ...]:
    return (x.numel() // x.shape[-1], x.shape[-1], width)


def _grouped_sizes(x: Any, offsets: Any, stored: Any, width: int, *_: Any, **__: Any) -> tuple[Any, ...]:
    return (stored[0].shape[0], x.shape[0], x.shape[-1], width)


_LINEAR = Operator(Kernel.PRODUCT, _product, _unpacking, _sizes)
_GROUPED = Operator(Kernel.BATCHED_PRODUCT, _grouped_product, _grouped_unpacking, _grouped_sizes)
PACKED: dict[str, Operator] = {
    "seqcost::packed_linear": _LINEAR,
    "seqcost::packed_linear_backward": _LINEAR,
    "seqcost::packed_grouped_mm": _GROUPED,
    "seqcost::packed_grouped_mm_backward": _GROUPED,
}
