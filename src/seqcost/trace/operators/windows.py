"""Operations of pooling, resampling, bags of embeddings, losses and other fused operators: see `elementwise`.

A window of k elements takes k operations per output element (k − 1 sums or comparisons, and a division or the first
comparison); its gradient as many. Interpolation takes a product for each of the points around and a sum for each but
the first. A loss takes its definition an element, and one operation more where its mean or sum is taken.
"""

import math
from typing import Any

from seqcost.algebra.work import Kernel
from seqcost.formulas.core import pointwise
from seqcost.trace.operators.operator import (
    Formula,
    Operator,
    alike,
    first,
    nothing,
    of_operand,
    of_result,
    one_table,
)  # fmt: skip


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


def _glu_backward(g: Any, *_: Any, **__: Any) -> Any:
    return g.numel() * (pointwise.SIGMOID + 2 + pointwise.SIGMOID_BACKWARD)  # da = g·σ(b), db = (g·a)·σ'(b)


# Points around the one that is made; smoothed ones (aa) count as the plain ones do.
_POINTS = {
    "upsample_linear1d": 2, "upsample_bilinear2d": 4, "upsample_trilinear3d": 8, "upsample_bicubic2d": 16,
    "_upsample_bilinear2d_aa": 4, "_upsample_bicubic2d_aa": 16,
}  # fmt: skip
_GRIDS = {2: 4, 3: 8}


def _as_large(kernel: Kernel, formula: Formula, names: str) -> dict[str, Operator]:
    """Operators of as many operations as elements that they take or put."""
    return alike(kernel, formula, names, lambda *args, **named: (formula(*args, **named),))


def _each(pattern: str, kernel: Kernel, formula_of: Any, cases: Any) -> dict[str, Operator]:
    """An operator for each case, whose name and formula have it in them."""
    return one_table(*(alike(kernel, formula_of(case), pattern.format(case)) for case in cases))


_DIMS = (1, 2, 3)
_ADDED = of_operand(1)  # every element of the gradient is added to one

WINDOWS: dict[str, Operator] = one_table(
    _each("avg_pool{}d", Kernel.REDUCTION, _pool, _DIMS),
    _each("avg_pool{}d_backward", Kernel.SCATTER, _pool_backward, (2, 3)),
    _each("max_pool{}d_with_indices", Kernel.REDUCTION, _pool, (2, 3)),
    alike(Kernel.SCATTER, _ADDED, "max_pool2d_with_indices_backward max_pool3d_with_indices_backward"),
    alike(Kernel.REDUCTION, _ADDED, "_adaptive_avg_pool2d _adaptive_avg_pool3d"),
    alike(Kernel.SCATTER, of_result(1), "_adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward"),
    _each("adaptive_max_pool{}d", Kernel.REDUCTION, lambda _: of_operand(1), (2, 3)),
    _each("adaptive_max_pool{}d_backward", Kernel.SCATTER, lambda _: of_operand(1), (2, 3)),
    _each("{}", Kernel.ELEMENTWISE, lambda name: _interpolation(_POINTS[name]), _POINTS),
    _each("{}_backward", Kernel.SCATTER, lambda name: _interpolation_backward(_POINTS[name]), _POINTS),
    _each("grid_sampler_{}d", Kernel.GATHER, lambda d: _interpolation(_GRIDS[d]), _GRIDS),
    _each("grid_sampler_{}d_backward", Kernel.SCATTER, lambda d: _grid_backward(_GRIDS[d], d), _GRIDS),
    _each("upsample_nearest{}d", Kernel.GATHER, lambda _: nothing, _DIMS),
    _each("upsample_nearest{}d_backward", Kernel.SCATTER, lambda _: _ADDED, _DIMS),
    _each("_upsample_nearest_exact{}d", Kernel.GATHER, lambda _: nothing, _DIMS),
    _each("_upsample_nearest_exact{}d_backward", Kernel.SCATTER, lambda _: _ADDED, _DIMS),
    _each("reflection_pad{}d", Kernel.COPY, lambda _: nothing, _DIMS),
    _each("replication_pad{}d", Kernel.COPY, lambda _: nothing, _DIMS),
    _each("reflection_pad{}d_backward", Kernel.SCATTER, lambda _: _ADDED, _DIMS),
    _each("replication_pad{}d_backward", Kernel.SCATTER, lambda _: _ADDED, _DIMS),
    alike(Kernel.COPY, nothing, "im2col pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle"),
    alike(Kernel.SCATTER, of_operand(1), "col2im"),  # windows that overlap are added
    _as_large(Kernel.GATHER, _bag, "_embedding_bag _embedding_bag_forward_only"),
    _as_large(Kernel.SCATTER, _bag_backward, "_embedding_bag_backward _embedding_bag_dense_backward"),
    _as_large(Kernel.SCATTER, _index_reduce, "index_reduce"),
    alike(Kernel.REDUCTION, of_operand(1), "segment_reduce"),
    alike(Kernel.GATHER, lambda g, y, x, *_, **__: x.numel(), "_segment_reduce_backward"),
    alike(Kernel.SCATTER, of_operand(1), "histc"),
    alike(Kernel.SORT, of_operand(1), "nanmedian unique_consecutive"),
    alike(Kernel.SORT, _unique, "_unique2 unique_dim"),
    alike(Kernel.NORM, of_operand(2 + pointwise.SCALE), "renorm _weight_norm_interface"),  # square, sum, scale
    # Σ g·v; g·s − v·(…)
    alike(Kernel.NORM, of_operand(pointwise.SCALE_BACKWARD + 3), "_weight_norm_interface_backward"),
    alike(Kernel.NORM, _rms, "_fused_rms_norm"),
    alike(Kernel.ELEMENTWISE, of_result(3), "linalg_cross"),  # two products and their difference
    alike(Kernel.ELEMENTWISE, of_result(4), "polar"),  # cosine, sine, two products
    alike(Kernel.REDUCTION, _loss(2), "mse_loss"),
    alike(Kernel.ELEMENTWISE, of_result(3), "mse_loss_backward"),
    # difference, magnitude, comparison; square and scale, or shift
    alike(Kernel.REDUCTION, _loss(5), "smooth_l1_loss huber_loss"),
    alike(Kernel.ELEMENTWISE, of_result(4), "smooth_l1_loss_backward huber_loss_backward"),
    alike(Kernel.REDUCTION, _loss(7), "binary_cross_entropy"),  # two logarithms, 1 − x, 1 − y, two products, sum
    alike(Kernel.ELEMENTWISE, of_result(5), "binary_cross_entropy_backward"),
    alike(Kernel.REDUCTION, _loss(6), "binary_cross_entropy_with_logits"),  # (1 − y)·x − log σ(x), which is three
    alike(Kernel.REDUCTION, _loss(5), "soft_margin_loss"),  # log(1 + exp(−y·x))
    alike(Kernel.ELEMENTWISE, of_result(7), "soft_margin_loss_backward"),  # z = exp(−y·x), then g·y·z/(1 + z)
    alike(Kernel.REDUCTION, of_operand(4), "multi_margin_loss"),  # margin − x_y + x, at least 0, summed over classes
    # the first three again, times g, and their sum at the class
    alike(Kernel.ELEMENTWISE, of_result(5), "multi_margin_loss_backward"),
    alike(Kernel.SCAN, _ctc, "_ctc_loss"),
    alike(Kernel.SCAN, _ctc_backward, "_ctc_loss_backward"),
    alike(Kernel.ELEMENTWISE, of_result(1 + pointwise.SIGMOID), "glu"),
    alike(Kernel.ELEMENTWISE, _glu_backward, "glu_backward"),
    alike(Kernel.ELEMENTWISE, of_operand(5), "hardswish hardswish_backward"),  # x·min(max(x + 3, 0), 6)/6
    alike(Kernel.ELEMENTWISE, of_operand(2), "_prelu_kernel rrelu_with_noise"),  # comparison, product
    alike(Kernel.ELEMENTWISE, of_operand(3), "_prelu_kernel_backward"),
    alike(Kernel.ELEMENTWISE, of_operand(1), "rrelu_with_noise_backward"),
)
