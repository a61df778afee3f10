"""Operations of pooling, resampling, bags of embeddings, losses and other fused operators: see `elementwise`.

A window of k elements takes k operations an output element (k − 1 sums or comparisons, and a division or the first
comparison); its gradient as many. Interpolation takes a product for each of the points around and a sum for each but
the first. A loss takes its definition an element, and one operation more where its mean or sum is taken.
"""

import math
from typing import Any

from seqcost.formulas.core import pointwise
from seqcost.trace.operators.contractions import Formula
from seqcost.trace.operators.elementwise import first, of_operand, of_result


def _pool(dims: int) -> Formula:
    def cost(x: Any, kernel: Any, *_: Any, out: Any, **__: Any) -> Any:
        return first(out).numel() * _window(kernel, dims)

    return cost


def _pool_backward(dims: int) -> Formula:
    def cost(gradient: Any, x: Any, kernel: Any, *_: Any, **__: Any) -> Any:
        return gradient.numel() * _window(kernel, dims)

    return cost


def _window(kernel: Any, dims: int) -> int:
    sizes = list(kernel) if isinstance(kernel, list | tuple) else [kernel]
    return math.prod(sizes * dims if len(sizes) == 1 else sizes)


def _interpolation(points: int) -> Formula:
    return of_result(2 * points - 1)


def _interpolation_backward(points: int) -> Formula:
    return of_operand(2 * points)  # a product and a sum for each point


def _grid_backward(points: int, dims: int) -> Formula:
    def cost(g: Any, x: Any, grid: Any, *rest: Any, output_mask: Any = None, **__: Any) -> Any:
        dx, dgrid = output_mask if output_mask is not None else rest[-1]
        # A coordinate's gradient: at each point, g times the value and the weights along the other axes, and a sum.
        return g.numel() * (2 * points * bool(dx) + dims * points * (dims + 1) * bool(dgrid))

    return cost


def _loss(weight: int) -> Formula:
    def cost(x: Any, target: Any, *rest: Any, out: Any, **__: Any) -> Any:
        return x.numel() * (weight + (out.numel() == 1 and x.numel() > 1))

    return cost


def _bag(weight: Any, indices: Any, offsets: Any, scale: bool = False, mode: int = 0, *_: Any, **__: Any) -> Any:
    return indices.numel() * weight.shape[-1]


def _bag_backward(g: Any, indices: Any, *_: Any, **__: Any) -> Any:
    return indices.numel() * g.shape[-1]


def _index_reduce(x: Any, dim: Any, index: Any, source: Any, *_: Any, **__: Any) -> Any:
    return source.numel()


def _unique(x: Any, *_: Any, **__: Any) -> Any:
    return x.numel() * max(1, math.ceil(math.log2(max(2, x.numel()))))  # sorted


def _ctc(log_p: Any, targets: Any, input_lengths: Any, target_lengths: Any, *_: Any, out: Any, **__: Any) -> Any:
    # α over 2·target + 1 labels a time step (Graves et al. 2006, eq. 6): three terms by logarithms, and the label's own
    return 8 * out[1].numel()


def _ctc_backward(g: Any, log_p: Any, *_: Any, **__: Any) -> Any:
    alpha = next(t for t in reversed(_) if hasattr(t, "dim") and t.dim() == 3)
    return 8 * alpha.numel() + 3 * log_p.numel()


def _rms(x: Any, shape: Any, weight: Any = None, *_: Any, **__: Any) -> Any:
    return x.numel() * (3 + pointwise.SCALE * (weight is not None))  # square, sum, divide


# Points around the one that is made; smoothed ones (aa) count as the plain ones do.
_POINTS = {
    "upsample_linear1d": 2, "upsample_bilinear2d": 4, "upsample_trilinear3d": 8, "upsample_bicubic2d": 16,
    "_upsample_bilinear2d_aa": 4, "_upsample_bicubic2d_aa": 16,
}  # fmt: skip
_GRIDS = {2: 4, 3: 8}

WINDOWS: dict[str, Formula] = (
    {f"aten::avg_pool{d}d": _pool(d) for d in (1, 2, 3)}
    | {f"aten::avg_pool{d}d_backward": _pool_backward(d) for d in (2, 3)}
    | {f"aten::max_pool{d}d_with_indices": _pool(d) for d in (2, 3)}
    | {f"aten::max_pool{d}d_with_indices_backward": of_operand(1) for d in (2, 3)}
    | {f"aten::_adaptive_avg_pool{d}d": of_operand(1) for d in (2, 3)}
    | {f"aten::_adaptive_avg_pool{d}d_backward": of_result(1) for d in (2, 3)}
    | {f"aten::adaptive_max_pool{d}d": of_operand(1) for d in (2, 3)}
    | {f"aten::adaptive_max_pool{d}d_backward": of_operand(1) for d in (2, 3)}
    | {f"aten::{name}": _interpolation(n) for name, n in _POINTS.items()}
    | {f"aten::{name}_backward": _interpolation_backward(n) for name, n in _POINTS.items()}
    | {f"aten::grid_sampler_{d}d": _interpolation(n) for d, n in _GRIDS.items()}
    | {f"aten::grid_sampler_{d}d_backward": _grid_backward(n, d) for d, n in _GRIDS.items()}
    | {f"aten::upsample_nearest{d}d": of_result(0) for d in (1, 2, 3)}
    | {f"aten::upsample_nearest{d}d_backward": of_operand(1) for d in (1, 2, 3)}
    | {f"aten::_upsample_nearest_exact{d}d": of_result(0) for d in (1, 2, 3)}
    | {f"aten::_upsample_nearest_exact{d}d_backward": of_operand(1) for d in (1, 2, 3)}
    | {f"aten::{way}_pad{d}d": of_result(0) for way in ("reflection", "replication") for d in (1, 2, 3)}
    | {f"aten::{way}_pad{d}d_backward": of_operand(1) for way in ("reflection", "replication") for d in (1, 2, 3)}
    | {
        "aten::im2col": of_result(0),
        "aten::col2im": of_operand(1),  # windows that overlap are added
        "aten::pixel_shuffle": of_result(0),
        "aten::pixel_unshuffle": of_result(0),
        "aten::channel_shuffle": of_result(0),
        "aten::native_channel_shuffle": of_result(0),
        "aten::_embedding_bag": _bag,
        "aten::_embedding_bag_forward_only": _bag,
        "aten::_embedding_bag_backward": _bag_backward,
        "aten::_embedding_bag_dense_backward": _bag_backward,
        "aten::index_reduce": _index_reduce,
        "aten::segment_reduce": of_operand(1),
        "aten::_segment_reduce_backward": lambda g, y, x, *_, **__: x.numel(),
        "aten::histc": of_operand(1),
        "aten::nanmedian": of_operand(1),
        "aten::_unique2": _unique,
        "aten::unique_dim": _unique,
        "aten::unique_consecutive": of_operand(1),
        "aten::renorm": of_operand(2 + pointwise.SCALE),  # square, sum, scale
        "aten::_weight_norm_interface": of_operand(2 + pointwise.SCALE),
        "aten::_weight_norm_interface_backward": of_operand(pointwise.SCALE_BACKWARD + 3),  # Σ g·v; g·s − v·(…)
        "aten::linalg_cross": of_result(3),  # two products and their difference
        "aten::polar": of_result(4),  # cosine, sine, two products
        "aten::_fused_rms_norm": _rms,
        "aten::mse_loss": _loss(2),
        "aten::mse_loss_backward": of_result(3),
        "aten::smooth_l1_loss": _loss(5),  # difference, magnitude, comparison; square and scale, or shift
        "aten::smooth_l1_loss_backward": of_result(4),
        "aten::huber_loss": _loss(5),
        "aten::huber_loss_backward": of_result(4),
        "aten::binary_cross_entropy": _loss(7),  # two logarithms, 1 − x, 1 − y, two products, sum
        "aten::binary_cross_entropy_backward": of_result(5),
        "aten::binary_cross_entropy_with_logits": _loss(6),  # (1 − y)·x − log σ(x), which is three
        "aten::soft_margin_loss": _loss(5),  # log(1 + exp(−y·x))
        "aten::soft_margin_loss_backward": of_result(7),  # z = exp(−y·x), then g·y·z/(1 + z)
        "aten::multi_margin_loss": of_operand(4),  # margin − x_y + x, at least 0, summed over the classes
        "aten::multi_margin_loss_backward": of_result(5),  # the first three again, times g, and their sum at the class
        "aten::_ctc_loss": _ctc,
        "aten::_ctc_loss_backward": _ctc_backward,
        "aten::glu": of_result(1 + pointwise.SIGMOID),
        # da = g·σ(b), db = (g·a)·σ'(b)
        "aten::glu_backward": lambda g, *_, **__: g.numel() * (pointwise.SIGMOID + 2 + pointwise.SIGMOID_BACKWARD),
        "aten::hardswish": of_operand(5),  # x·min(max(x + 3, 0), 6)/6
        "aten::hardswish_backward": of_operand(5),
        "aten::_prelu_kernel": of_operand(2),  # comparison, product
        "aten::_prelu_kernel_backward": of_operand(3),
        "aten::rrelu_with_noise": of_operand(2),
        "aten::rrelu_with_noise_backward": of_operand(1),
    }
)
