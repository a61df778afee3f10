"""FLOPs of further products, and of the solvers of linear algebra that take a fixed number of steps.

Each formula is called with the operator's own arguments and its result, as in `contractions`. Source of the solvers:
LAPACK Working Note 41 (Blackford and Dongarra 1999), appendix C, leading terms: LU of an n × n matrix ⅔ n³, Cholesky
⅓ n³, an inverse 2 n³, a solution from factors 2 n² a right side, QR 2 m n² − ⅔ n³ and as much again for Q.
Of eigenvalues, singular values and matrix exponentials the number of steps depends on the values: they stay uncounted.
"""

import math
from typing import Any

from seqcost.algebra.work import Kernel
from seqcost.trace.operators.operator import Formula, Operator

COMPLEX = 4  # a multiply-add of complex numbers: four products and four sums for one of each


def real_operations(tensor: Any) -> int:
    """Real operations for each one of the tensor's numbers, where multiply-adds are counted."""
    return COMPLEX if tensor.is_complex() else 1


def _batch(matrix: Any) -> int:
    return math.prod(matrix.shape[:-2])


def _plain(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    return 2 * out.numel() * a.shape[-1]


def _linear(x: Any, *_: Any, out: Any, **__: Any) -> Any:
    return 2 * out.numel() * x.shape[-1]


def _affine_grid(theta: Any, size: Any, *_: Any, out: Any, **__: Any) -> Any:
    # Points [N,·,3] of an image, [N,·,4] of a volume, times the matrix of each
    return 2 * out.numel() * theta.shape[-1]


def _conv_tbc(x: Any, weight: Any, *_: Any, out: Any, **__: Any) -> Any:
    # weight [k,C,C_out]
    return 2 * out.numel() * weight.shape[0] * weight.shape[1]


def _trilinear(a: Any, b: Any, c: Any, ones_a: Any, ones_b: Any, ones_c: Any, *_: Any, out: Any, **__: Any) -> Any:
    # Σ a·b·c over some dimensions of the product of all three: two multiplies and an add a term
    shapes = []
    for tensor, ones in ((a, ones_a), (b, ones_b), (c, ones_c)):
        shape = list(tensor.shape)
        for dim in sorted(ones):
            shape.insert(dim, 1)
        shapes.append(shape)
    return 3 * math.prod(max(sizes) for sizes in zip(*shapes, strict=True))


def _distance_backward(gradient: Any, a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    return 2 * gradient.numel() * a.shape[-1]


def _thirds(matrix: Any, thirds: int) -> int:
    return _batch(matrix) * round(thirds * matrix.shape[-1] ** 3 / 3) * real_operations(matrix)


def _inverse(a: Any, *_: Any, **__: Any) -> Any:
    return _thirds(a, 6)


def _cholesky(a: Any, *_: Any, **__: Any) -> Any:
    return _thirds(a, 1)


def _lu(a: Any, *_: Any, **__: Any) -> Any:
    m, n = a.shape[-2:]
    small = min(m, n)
    return _batch(a) * round(2 * m * n * small - (m + n) * small**2 + 2 * small**3 / 3) * real_operations(a)


def _solve(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    return _thirds(a, 2) + 2 * out[0].numel() * a.shape[-1] * real_operations(a)


def _from_lu(lu: Any, pivots: Any, b: Any, *_: Any, out: Any, **__: Any) -> Any:
    return 2 * out.numel() * lu.shape[-1] * real_operations(lu)


def _from_cholesky(b: Any, factor: Any, *_: Any, out: Any, **__: Any) -> Any:
    return 2 * out.numel() * factor.shape[-1] * real_operations(factor)


def _qr(a: Any, mode: str = "reduced", *_: Any, **__: Any) -> Any:
    m, n = a.shape[-2:]
    small = min(m, n)
    factor = 2 * max(m, n) * small**2 - round(2 * small**3 / 3)
    wide = m if mode == "complete" else small
    q = 0 if mode == "r" else 4 * m * wide * small - 2 * (m + wide) * small**2 + round(4 * small**3 / 3)
    return _batch(a) * (factor + q) * real_operations(a)


def _conv_tbc_sizes(x: Any, weight: Any, *_: Any, out: Any, **__: Any) -> tuple[Any, ...]:
    return (x.shape[1], weight.shape[1], weight.shape[2], weight.shape[0], out.shape[0])


def _summed_sizes(a: Any, b: Any, *_: Any, out: Any, **__: Any) -> tuple[Any, ...]:
    return (out.numel() // max(1, out.shape[-1]), b.shape[-1], out.shape[-1])


def _solver(formula: Formula) -> Operator:
    return Operator(Kernel.FACTORISATION, formula)


FACTORISATIONS: dict[str, Operator] = {
    "aten::_scaled_mm": Operator(Kernel.PRODUCT, _plain),
    "aten::_int_mm": Operator(Kernel.PRODUCT, _plain),
    "aten::_weight_int8pack_mm": Operator(Kernel.PRODUCT, _linear),
    "aten::_weight_int4pack_mm": Operator(Kernel.PRODUCT, _linear),
    "aten::_weight_int4pack_mm_for_cpu": Operator(Kernel.PRODUCT, _linear),
    "aten::mkldnn_linear": Operator(Kernel.PRODUCT, _linear),
    "aten::conv_tbc": Operator(Kernel.CONVOLUTION, _conv_tbc, sizes=_conv_tbc_sizes),
    "aten::affine_grid_generator": Operator(Kernel.PRODUCT, _affine_grid),
    "aten::_trilinear": Operator(Kernel.PRODUCT, _trilinear, sizes=_summed_sizes),
    "aten::_cdist_backward": Operator(Kernel.PRODUCT, _distance_backward, sizes=_summed_sizes),
    "aten::linalg_inv_ex": _solver(_inverse),
    "aten::cholesky_inverse": _solver(lambda a, *_, **__: _thirds(a, 2)),
    "aten::linalg_cholesky_ex": _solver(_cholesky),
    "aten::cholesky_solve": _solver(_from_cholesky),
    "aten::linalg_lu": _solver(_lu),
    "aten::linalg_lu_factor_ex": _solver(_lu),
    "aten::_linalg_det": _solver(_lu),
    "aten::_linalg_slogdet": _solver(_lu),
    "aten::_linalg_solve_ex": _solver(_solve),
    "aten::linalg_lu_solve": _solver(_from_lu),
    "aten::linalg_qr": _solver(_qr),
}
