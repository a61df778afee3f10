"""Some three hundred calls of torch and torch.nn.functional, each with inputs of shapes drawn at random.

`calls(seed)` gives name → (function, inputs). Inputs that are numbers of a kind (indices, classes) are made to fit the
shapes that were drawn; everything else is normal noise, since nothing but shapes is counted.
"""

import random

import torch
from torch import nn
from torch.nn import functional as F


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def words(text):
    """A table of names."""
    return text.split()


UNARY = words("""
abs absolute acos acosh angle asin asinh atan atanh ceil clone conj_physical cos cosh deg2rad digamma erf
erfc erfinv exp exp2 expm1 fix floor frac i0 isfinite isinf isnan isneginf isposinf lgamma log log10 log1p
log2 logical_not logit nan_to_num neg negative positive rad2deg reciprocal relu round rsqrt selu sgn sigmoid
sign signbit sin sinc sinh sqrt square tan tanh trunc zeros_like ones_like empty_like rand_like flatten
ravel
""")

ACTIVATIONS = words("""
relu relu6 elu selu celu gelu leaky_relu logsigmoid hardshrink tanhshrink softsign softplus softshrink tanh
sigmoid hardsigmoid silu mish hardswish hardtanh rrelu normalize dropout alpha_dropout feature_alpha_dropout
""")

BINARY = words("""
add sub mul div pow fmod remainder maximum minimum fmax fmin atan2 hypot logaddexp logaddexp2 copysign xlogy
float_power true_divide eq ne lt le gt ge logical_and logical_or logical_xor nextafter subtract multiply
dist
""")

REDUCTIONS = words("""
sum mean prod amax amin std var logsumexp norm nansum nanmean argmax argmin any all count_nonzero cumsum
cumprod logcumsumexp softmax log_softmax median nanmedian mode max min cummax cummin sort argsort std_mean
var_mean aminmax nanquantile_half quantile_half
""")

WITHOUT_DIM = (
    "sum",
    "mean",
    "prod",
    "max",
    "min",
    "std",
    "var",
    "median",
    "norm",
    "any",
    "all",
    "argmax",
    "msort",
    "trace",
)

LOSSES = ("l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss", "soft_margin_loss", "kl_div", "poisson_nll_loss")


def _softmaxed(name):
    return lambda x: getattr(F, name)(x, dim=-1)


def _unary():
    def plain(name):
        return lambda x: getattr(torch, name)(x)

    for name in UNARY:
        yield name, plain(name), "x"
    yield "isreal", torch.isreal, "x"
    yield "fliplr", torch.fliplr, "x"
    yield "flipud", torch.flipud, "x"
    yield "clamp", lambda x: x.clamp(-1, 1), "x"
    yield "clamp-min", lambda x: x.clamp(min=0), "x"
    yield "polygamma", lambda x: torch.polygamma(1, x), "x"
    yield "mvlgamma", lambda x: torch.mvlgamma(x.abs() + 3, 2), "x"
    yield "rsub", lambda x: 1 - x, "x"
    yield "pow-scalar", lambda x: x**3, "x"
    yield "scalar-pow", lambda x: 2**x, "x"
    yield "add-scalar", lambda x: x + 2, "x"
    yield "div-rounded", lambda x: torch.div(x, 2, rounding_mode="floor"), "x"
    yield "abs_", lambda x: x.clone().abs_(), "x"
    yield "eq_", lambda x: x.detach().clone().eq_(0), "x"
    yield "empty_permuted", lambda x: torch.empty_permuted(x.shape, list(range(x.dim()))[::-1]), "x"
    yield "in-place", lambda x: x.clone().mul_(2).add_(1).relu_(), "x"
    for name in ACTIVATIONS:
        yield f"F.{name}", lambda x, name=name: getattr(F, name)(x), "x"
    for name in ("softmax", "log_softmax", "softmin"):
        yield f"F.{name}", _softmaxed(name), "x"
    yield "F.gelu-tanh", lambda x: F.gelu(x, approximate="tanh"), "x"
    yield "F.threshold", lambda x: F.threshold(x, 0.1, 0.0), "x"
    yield "F.glu", lambda x: F.glu(torch.cat([x, x], -1)), "x"
    yield "F.prelu", F.prelu, "x one"
    yield "F.gumbel_softmax", lambda x: F.gumbel_softmax(x, dim=-1), "x"


def _binary():
    for name in BINARY:
        yield f"{name}-two", lambda x, y, name=name: getattr(torch, name)(x, y), "x x"
        if name in ("add", "mul", "sub", "div", "maximum", "pow", "atan2"):
            yield f"{name}-broadcast", lambda x, y, name=name: getattr(torch, name)(x, y), "x row"
    yield "add-alpha", lambda x, y: torch.add(x, y, alpha=2), "x x"
    yield "lerp", lambda x, y: torch.lerp(x, y, 0.3), "x x"
    yield "lerp-tensor", torch.lerp, "x x x"
    yield "addcmul", torch.addcmul, "x x x"
    yield "addcdiv", torch.addcdiv, "x x x"
    yield "where", lambda x, y: torch.where(x > 0, x, y), "x x"
    yield "isclose", torch.isclose, "x x"
    yield "cosine_similarity", F.cosine_similarity, "m m"
    yield "pairwise_distance", F.pairwise_distance, "m m"
    yield "cross", lambda x, y: torch.linalg.cross(x, y), "three three"
    yield "complex", lambda x, y: torch.complex(x, y).abs(), "x x"
    yield "complex-product", lambda x, y: torch.view_as_real(torch.complex(x, y) * torch.complex(y, x)), "x x"
    yield "polar", lambda x, y: torch.view_as_real(torch.polar(x, y)), "x x"


def _reductions():
    for name in REDUCTIONS:
        if name.endswith("_half"):
            yield name, lambda x, name=name: getattr(torch, name.removesuffix("_half"))(x, 0.5, dim=-1), "x"
        elif name in ("norm", "aminmax"):
            yield name, lambda x, name=name: getattr(torch, name)(x, dim=-1), "x"
        else:
            yield name, lambda x, name=name: getattr(torch, name)(x, dim=0), "x"
    for name in WITHOUT_DIM:
        yield f"{name}-all", lambda x, name=name: getattr(torch, name)(x), "m"
    yield "topk", lambda x: torch.topk(x, 1, dim=-1), "x"
    yield "kthvalue", lambda x: torch.kthvalue(x, 1), "x"
    yield "diff", lambda x: torch.diff(x, dim=0), "x"
    yield "renorm", lambda x: torch.renorm(x, 2, 0, 1.0), "m"
    yield "cov", torch.cov, "m"
    yield "corrcoef", torch.corrcoef, "m"
    yield "gradient", lambda x: torch.gradient(x, dim=0)[0], "big"
    yield "trapezoid", torch.trapezoid, "m"
    yield "cumulative_trapezoid", torch.cumulative_trapezoid, "m"
    yield "histc", lambda x: torch.histc(x.detach(), 5), "x"
    yield "searchsorted", lambda x, y: torch.searchsorted(x.detach(), y.detach()), "v v"
    yield "bucketize", lambda x, y: torch.bucketize(x.detach(), y.detach()), "x v"
    yield "linalg.vector_norm", torch.linalg.vector_norm, "x"
    yield "linalg.vector_norm-1", lambda x: torch.linalg.vector_norm(x, 1, dim=-1), "x"
    yield "linalg.matrix_norm", torch.linalg.matrix_norm, "m"


def _products():
    yield "matmul", torch.matmul, "a b"
    yield "mm", torch.mm, "a b"
    yield "mm-transposed", lambda a, b: a @ b.t(), "a a"
    yield "bmm", torch.bmm, "ba bb"
    yield "matmul-broadcast", lambda x, b: x @ b, "ba b"
    yield "matmul-vector", lambda a, k: a @ k, "a k"
    yield "mv", torch.mv, "a k"
    yield "dot", torch.dot, "k k"
    yield "vdot", torch.vdot, "k k"
    yield "inner", torch.inner, "a a"
    yield "outer", torch.outer, "k v"
    yield "addmm", torch.addmm, "ab a b"
    yield "addmm-beta", lambda c, a, b: torch.addmm(c, a, b, beta=0.5, alpha=2), "ab a b"
    yield "addmv", torch.addmv, "r a k"
    yield "addr", torch.addr, "kv k v"
    yield "baddbmm", torch.baddbmm, "bab ba bb"
    yield "addbmm", torch.addbmm, "ab ba bb"
    yield "chain_matmul", lambda a, b: torch.linalg.multi_dot([a, b, b.t()]), "a b"
    yield "tensordot", lambda a, b: torch.tensordot(a, b, dims=1), "ba b"
    yield "einsum", lambda a, b: torch.einsum("bik,bkj->bij", a, b), "ba bb"
    yield "einsum-pairs", lambda a, c: torch.einsum("bik,bjk->ij", a, c), "ba ba"
    yield "kron", torch.kron, "m m"
    yield "linear", F.linear, "ba weight"
    yield "linear-bias", F.linear, "ba weight bias"
    yield "bilinear", lambda x, y: F.bilinear(x, y, x.new_ones(3, x.shape[-1], y.shape[-1])), "a a"
    yield "cdist", torch.cdist, "a a"
    yield "cdist-long", lambda a: torch.cdist(a.repeat(20, 1), a.repeat(20, 1)), "a"
    yield "matrix_power", lambda a: torch.linalg.matrix_power(a, 3), "square"
    for dims in (1, 2, 3):
        for options in ({}, {"padding": 1}, {"stride": 2}):
            name = f"conv{dims}d" + "".join(f"-{key}" for key in options)
            yield name, lambda x, w, d=dims, o=options: getattr(F, f"conv{d}d")(x, w, **o), f"image{dims} kernel{dims}"
        yield (
            f"conv_transpose{dims}d",
            lambda x, w, d=dims: getattr(F, f"conv_transpose{d}d")(x, w.transpose(0, 1)),
            f"image{dims} kernel{dims}",
        )
    yield "conv2d-bias", lambda x, w: F.conv2d(x, w, w.new_ones(w.shape[0])), "image2 kernel2"
    yield "conv2d-depthwise", lambda x: F.conv2d(x, x.new_ones(x.shape[1], 1, 3, 3), groups=x.shape[1]), "image2"
    yield "attention", F.scaled_dot_product_attention, "heads heads heads"
    yield (
        "attention-causal",
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
        "heads heads heads",
    )
    for name in ("fft", "ifft", "fft2", "ifft2", "fftn", "ifftn", "rfft", "rfft2", "rfftn", "ihfft"):
        yield f"fft.{name}", lambda x, name=name: torch.view_as_real(getattr(torch.fft, name)(x).resolve_conj()), "m"
    for name in ("irfft", "irfft2", "irfftn", "hfft"):
        yield f"fft.{name}", lambda x, y, name=name: getattr(torch.fft, name)(torch.complex(x, y)), "big big"
    yield "stft", lambda x: torch.view_as_real(torch.stft(x, 8, window=x.new_ones(8), return_complex=True)), "signal"
    for name in (
        "inv",
        "det",
        "slogdet",
        "qr",
        "lu",
        "lu_factor",
        "pinv",
        "svd",
        "svdvals",
        "eigvalsh",
        "cholesky_like",
    ):
        if name == "cholesky_like":
            yield (
                "linalg.cholesky",
                lambda a: torch.linalg.cholesky(a @ a.mT + 9 * torch.eye(a.shape[0])),
                "square",
            )
        else:
            yield f"linalg.{name}", lambda a, name=name: getattr(torch.linalg, name)(a), "square"
    yield "linalg.solve", torch.linalg.solve, "square square"
    yield "linalg.solve_triangular", lambda a, b: torch.linalg.solve_triangular(a, b, upper=True), "square square"
    yield "matrix_exp", torch.matrix_exp, "square"


def _places():
    yield "cat", lambda x, y: torch.cat([x, y]), "x x"
    for name in ("stack", "hstack", "vstack", "dstack"):
        yield name, lambda x, y, name=name: getattr(torch, name)([x, y]), "x x"
    for name in ("chunk", "tensor_split", "split"):
        yield name, lambda x, name=name: getattr(torch, name)(x, 2, dim=0), "x"
    for name, dims in (("flip", (0,)), ("roll", 1), ("tile", (2,)), ("repeat_interleave", 2)):
        yield name, lambda x, name=name, dims=dims: getattr(torch, name)(x, dims), "x"
    for name in ("tril", "triu", "diagonal", "diag", "t", "rot90", "diag_embed", "diagflat", "atleast_3d", "squeeze"):
        yield name, lambda x, name=name: getattr(torch, name)(x), "m"
    yield "unbind", lambda x: torch.unbind(x)[0], "x"
    yield "narrow", lambda x: torch.narrow(x, 0, 0, 1), "x"
    yield "select", lambda x: torch.select(x, 0, 0), "x"
    yield "slice", lambda x: x[..., ::2] * 2, "x"
    yield "permute", lambda x: x.movedim(0, -1).contiguous(), "x"
    yield "reshape-copied", lambda x: x.t().reshape(-1), "m"
    yield "expand-contiguous", lambda x: x.unsqueeze(0).expand(3, *x.shape).contiguous(), "x"
    yield "expand-summed", lambda x: (x.unsqueeze(0).expand(3, *x.shape) * 2).sum(), "x"
    yield "broadcast_to", lambda x: x.broadcast_to(2, *x.shape) + 1, "x"
    yield "block_diag", torch.block_diag, "m m"
    yield "cartesian_prod", torch.cartesian_prod, "k v"
    yield "combinations", torch.combinations, "k"
    yield "meshgrid", lambda x, y: torch.meshgrid(x, y, indexing="ij")[0] + 1, "k v"
    yield "vander", lambda x: torch.vander(x.detach()), "k"
    yield "floor_divide", lambda x, y: torch.floor_divide(x.detach(), y.detach()), "m m"
    yield "heaviside", lambda x, y: torch.heaviside(x.detach(), y.detach()), "m m"
    yield "index_select", lambda x, i: torch.index_select(x, 0, i), "x zeros"
    yield "gather", lambda x, i: torch.gather(x, 0, i[:, None]), "m zeros"
    yield "take", lambda x, i: torch.take(x, i), "x zeros"
    yield "take_along_dim", lambda x, i: torch.take_along_dim(x, i[:, None], 0), "m zeros"
    yield "index", lambda x, i: x[i], "x zeros"
    yield "index-two", lambda x, i: x[i, i], "m zeros"
    yield "masked_fill", lambda x: x.masked_fill(x > 0, 0.0), "x"
    yield "masked_select", lambda x: torch.masked_select(x, x > 0), "x"
    yield "masked_scatter", lambda x, y: torch.masked_scatter(x, x > 0, y), "x x"
    yield "nonzero", lambda x: torch.nonzero(x.detach()), "x"
    yield "scatter", lambda x, i: torch.scatter(x, 0, i[:, None], 1.0), "m zeros"
    yield "scatter-source", lambda x, i, y: torch.scatter(x, 0, i[:1, None], y[:1, :1]), "m zeros m"
    yield "scatter_add", lambda x, i, y: torch.scatter_add(x, 0, i[:1, None], y[:1, :1]), "m zeros m"
    yield "scatter_reduce", lambda x, i, y: torch.scatter_reduce(x, 0, i[:1, None], y[:1, :1], "amax"), "m zeros m"
    yield "index_add", lambda x, i, y: torch.index_add(x, 0, i[:1], y[:1]), "m zeros m"
    yield "index_copy", lambda x, i, y: torch.index_copy(x, 0, i[:1], y[:1]), "m zeros m"
    yield "index_fill", lambda x, i: torch.index_fill(x, 0, i, 1.0), "m zeros"
    yield "index_put", lambda x, i, y: torch.index_put(x, (i[:1],), y[:1]), "m zeros m"
    yield "index_put-added", lambda x, i, y: torch.index_put(x, (i[:1],), y[:1], accumulate=True), "m zeros m"
    yield "index_reduce", lambda x, i, y: torch.index_reduce(x, 0, i[:1], y[:1], "amax"), "m zeros m"
    yield "set-item", lambda x, y: x.clone().index_put_((torch.zeros(1, dtype=torch.int64),), y[:1]), "m m"
    yield "slice-written", lambda x, y: torch.slice_scatter(x, y[:1], 0, 0, 1), "m m"
    yield "select_scatter", lambda x, y: torch.select_scatter(x, y[0], 0, 0), "m m"
    yield "diagonal_scatter", lambda x: torch.diagonal_scatter(x, x.diagonal() * 2), "m"
    yield "unique", lambda x: torch.unique(x.detach()), "x"
    yield "msort", torch.msort, "x"
    yield "sort-descending", lambda x: torch.sort(x, dim=-1, descending=True), "x"
    for mode in ("constant", "reflect", "replicate", "circular"):
        yield f"F.pad-{mode}", lambda x, mode=mode: F.pad(x, (1, 1), mode=mode), "image1"
    yield "F.pad-two", lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "image2"
    yield "F.unfold", lambda x: F.unfold(x, 2), "image2"
    yield "F.fold", lambda x: F.fold(F.unfold(x, 2), x.shape[2:], 2), "image2"
    yield "unfold", lambda x: x.unfold(-1, 2, 1).contiguous(), "image1"
    yield "pixel_shuffle", lambda x: F.pixel_shuffle(x.repeat(1, 4, 1, 1), 2), "image2"
    yield "pixel_unshuffle", lambda x: F.pixel_unshuffle(F.interpolate(x, scale_factor=2), 2), "image2"
    yield "channel_shuffle", lambda x: F.channel_shuffle(x.repeat(1, 2, 1, 1), 2), "image2"
    yield "F.one_hot", lambda i: F.one_hot(i, 4), "zeros"
    yield "F.embedding", lambda x, i: F.embedding(i, x), "m zeros"
    yield "F.embedding_bag", lambda x, i: F.embedding_bag(i[None], x), "m zeros"
    yield "bincount", lambda i: torch.bincount(i, minlength=3), "zeros"
    yield "arange", lambda x: torch.arange(x.shape[0]) + x.sum(), "x"
    yield "eye", lambda x: torch.eye(x.shape[0]) * x.sum(), "x"


def _layers():
    for name in LOSSES:
        yield f"F.{name}", lambda x, y, name=name: getattr(F, name)(x, y.detach()), "x x"
        yield f"F.{name}-each", lambda x, y, name=name: getattr(F, name)(x, y.detach(), reduction="none"), "x x"
    yield "F.binary_cross_entropy", lambda x, y: F.binary_cross_entropy(x.sigmoid(), y.detach().sigmoid()), "x x"
    yield (
        "F.binary_cross_entropy_with_logits",
        lambda x, y: F.binary_cross_entropy_with_logits(x, y.detach().sigmoid()),
        "x x",
    )
    yield "F.gaussian_nll_loss", lambda x, y: F.gaussian_nll_loss(x, y.detach(), x.detach().exp()), "x x"
    yield "F.margin_ranking_loss", lambda x, y: F.margin_ranking_loss(x, y, x.detach().sign()), "k k"
    yield "F.hinge_embedding_loss", lambda x, y: F.hinge_embedding_loss(x, y.detach().sign()), "x x"
    yield "F.cosine_embedding_loss", lambda x, y: F.cosine_embedding_loss(x, y, x.detach().sign()[:, 0]), "m m"
    yield "F.triplet_margin_loss", F.triplet_margin_loss, "m m m"
    yield "F.multilabel_soft_margin_loss", lambda x, y: F.multilabel_soft_margin_loss(x, y.detach().sigmoid()), "m m"
    yield "F.cross_entropy", F.cross_entropy, "rows classes"
    yield "F.cross_entropy-smoothed", lambda x, i: F.cross_entropy(x, i, label_smoothing=0.1), "rows classes"
    yield "F.cross_entropy-each", lambda x, i: F.cross_entropy(x, i, reduction="none"), "rows classes"
    yield "F.nll_loss", lambda x, i: F.nll_loss(x, i), "rows classes"
    yield "F.multi_margin_loss", F.multi_margin_loss, "rows classes"
    yield "F.layer_norm", lambda x: F.layer_norm(x, x.shape[-1:]), "x"
    yield "F.layer_norm-affine", lambda x, w: F.layer_norm(x, x.shape[-1:], w, w), "x row"
    yield "F.rms_norm", lambda x, w: F.rms_norm(x, x.shape[-1:], w), "x row"
    yield "F.group_norm", lambda x: F.group_norm(x, 1), "image1"
    yield "F.instance_norm", F.instance_norm, "image1"
    yield "F.batch_norm", lambda x: F.batch_norm(x, None, None, training=True), "image1"
    yield "F.batch_norm-eval", lambda x: F.batch_norm(x, x.new_zeros(x.shape[1]), x.new_ones(x.shape[1])), "image1"
    yield "F.local_response_norm", lambda x: F.local_response_norm(x, 2), "image1"
    for dims in (1, 2, 3):
        for name in ("max_pool", "avg_pool", "lp_pool"):
            extra = (2.0, 2) if name == "lp_pool" else (2,)
            yield (
                f"F.{name}{dims}d",
                lambda x, name=name, d=dims, extra=extra: getattr(F, f"{name}{d}d")(x, *extra),
                f"image{dims}",
            )
        for name in ("adaptive_max_pool", "adaptive_avg_pool"):
            yield (
                f"F.{name}{dims}d",
                lambda x, name=name, d=dims: getattr(F, f"{name}{d}d")(x, 2),
                f"image{dims}",
            )
        yield f"F.dropout{dims}d", lambda x, d=dims: getattr(F, f"dropout{d}d")(x), f"image{dims}"
    for mode, dims in (("nearest", 2), ("linear", 1), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3), ("area", 2)):
        yield f"F.interpolate-{mode}", lambda x, mode=mode: F.interpolate(x, scale_factor=2, mode=mode), f"image{dims}"
    yield "F.interpolate-exact", lambda x: F.interpolate(x, scale_factor=2, mode="nearest-exact"), "image2"
    yield "F.affine_grid", lambda x: F.affine_grid(x[:, :, :3], [x.shape[0], 1, 3, 3]), "affine"
    yield "F.grid_sample", lambda x, g: F.grid_sample(x, g[:, :, :, :2], align_corners=False), "image2 grid"


def _tensors(seed):
    """Tensors by the word that a call asks for them with; those of one seed fit each other."""
    draw = random.Random(seed)

    def size(low=2, high=6):
        return draw.randint(low, high)

    B, R, K, C, L = size(), size(), size(), size(), size(5, 8)
    shape = [size() for _ in range(draw.choice((2, 3)))]
    shapes = {
        "x": shape, "row": shape[-1:], "one": (1,), "m": (R, K), "v": (C,), "k": (K,), "r": (R,), "three": (R, 3),
        "a": (R, K), "b": (K, C), "ab": (R, C), "kv": (K, C), "ba": (B, R, K), "bb": (B, K, C), "bab": (B, R, C),
        "weight": (C, K), "bias": (C,), "square": (K, K), "big": (R + 3, K + 3), "signal": (32,),
        "heads": (B, 2, R, K), "rows": (B, C), "affine": (B, 2, 3), "grid": (B, R, K, 2),
        **{f"image{d}": (B, C, *[L] * d) for d in (1, 2, 3)}, **{f"kernel{d}": (R, C, *[3] * d) for d in (1, 2, 3)},
    }  # fmt: skip

    def make(word):
        if word in ("zeros", "classes"):
            return torch.zeros(B, dtype=torch.int64)
        return torch.randn(*shapes[word])

    return make


def calls(seed=0):
    """Name → (function, inputs)."""
    found = {}
    for group in (_unary, _binary, _reductions, _products, _places, _layers):
        for name, function, words in group():
            assert name not in found, name
            torch.manual_seed(seed)
            found[name] = (function, tuple(map(_tensors(f"{seed} {name}"), words.split())))
    return found
