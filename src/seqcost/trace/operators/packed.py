"""Products by weights that are held packed: as many FLOPs as any product, and what unpacks a weight, once each.

The operators are `seqcost::packed_linear` and `seqcost::packed_grouped_mm` of programs/hugging_face; each formula is
called with the operator's own arguments and its result, as in `contractions`.
"""

from typing import Any

from seqcost.trace.operators.contractions import Formula


def _product(x: Any, stored: Any, width: int, unpacking: int, out: Any) -> Any:
    return 2 * x.numel() * width


def _unpacking(x: Any, stored: Any, width: int, unpacking: int, out: Any) -> Any:
    return unpacking * width * x.shape[-1]


def _grouped_product(x: Any, offsets: Any, stored: Any, width: int, unpacking: int, out: Any) -> Any:
    return 2 * x.numel() * width


def _grouped_unpacking(x: Any, offsets: Any, stored: Any, width: int, unpacking: int, out: Any) -> Any:
    return unpacking * stored[0].shape[0] * width * x.shape[-1]  # of all experts


PACKED_PRODUCTS: dict[str, Formula] = {
    "seqcost::packed_linear": _product,
    "seqcost::packed_linear_backward": _product,
    "seqcost::packed_grouped_mm": _grouped_product,
    "seqcost::packed_grouped_mm_backward": _grouped_product,
}
UNPACKING: dict[str, Formula] = {
    "seqcost::packed_linear": _unpacking,
    "seqcost::packed_linear_backward": _unpacking,
    "seqcost::packed_grouped_mm": _grouped_unpacking,
    "seqcost::packed_grouped_mm_backward": _grouped_unpacking,
}
