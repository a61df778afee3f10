"""A table of operators: the FLOPs, the pointwise operations and the bytes that one call of each is booked with."""

import math

import pytest
import torch
from operator_calls import Apply
from torch import nn
from torch.nn import functional as F

import seqcost
from seqcost.algebra import Kind
from seqcost.algebra.work import Kernel
from seqcost.errors import BadTarget
from seqcost.formulas.core import pointwise as weights
from seqcost.programs import Target
from seqcost.trace import forget_operator, register_operator, trace
from seqcost.trace.operators.contractions import CONTRACTIONS
from seqcost.trace.operators.cudnn import CUDNN
from seqcost.trace.operators.elementwise import POINTWISE
from seqcost.trace.operators.factorisations import FACTORISATIONS
from seqcost.trace.operators.operator import one_table
from seqcost.trace.operators.packed import PACKED
from seqcost.trace.operators.registry import OPERATORS
from seqcost.trace.operators.windows import WINDOWS

pytestmark = pytest.mark.filterwarnings("ignore")  # of PyTorch, about slow ways that it takes

B, T, D, H = 2, 16, 8, 4
N = B * T * D
PAIRS = B * H * T * T
FLOAT, LONG, COMPLEX = 4, 8, 8


def traced(function, inputs, phase="forward"):
    module = function if isinstance(function, nn.Module) else Apply(function)
    return trace(Target.of_module(module, inputs), phase=phase, lengths=())


def real(*sizes):
    return torch.ones(*sizes, requires_grad=True)


def numbers(*sizes):
    return torch.ones(*sizes, dtype=torch.complex64)


def bfloat(*sizes):
    return torch.ones(*sizes, dtype=torch.bfloat16)


def fft(n, count):
    """Five n log₂ n a complex transform."""
    return 5 * n * count * math.log2(n)


def flex(**options):
    def attend(q, k, v):
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        if options.get("masked"):
            mask = create_block_mask(lambda b, h, i, j: i >= j, None, None, T, T, device="cpu", BLOCK_SIZE=8)
            return flex_attention(q, k, v, block_mask=mask)
        attention = torch.compile(flex_attention, backend="eager") if options.get("compiled") else flex_attention
        return attention(q, k, v, score_mod=options.get("score"), enable_gqa=q.shape[1] != k.shape[1])

    return attend


def halves(x):
    from torch._higher_order_ops.associative_scan import associative_scan

    return associative_scan(torch.add, x, dim=1, combine_mode="generic")


def steps(x):
    from torch._higher_order_ops.scan import scan

    return scan(lambda carry, y: (carry * y, carry + y), x.new_zeros(B, D), x, dim=1)[1]


def attend(backend=None, **options):
    from torch.nn.attention import sdpa_kernel

    def attention(q, k, v):
        if backend is None:
            return F.scaled_dot_product_attention(q, k, v, **options)
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, **options)

    return attention


heads, fewer = real(B, H, T, D), real(B, 2, T, D)
SCORES = 2 * PAIRS * 2 * D
x = real(B, T, D)
offsets = torch.tensor([4, 8, T], dtype=torch.int32)
ids, rows = torch.zeros(B, T, dtype=torch.int64), torch.zeros(B, 4, D, dtype=torch.int64)
square, tall = torch.eye(6), torch.ones(9, 5)
MATH = torch.nn.attention.SDPBackend.MATH

# name: function, inputs, FLOPs of contractions, pointwise operations, bytes (None: several operators, see the FLOPs)
FORWARD = {
    "attention": (attend(), (heads,) * 3, SCORES, 6 * PAIRS, FLOAT * (2 * heads.numel() + B * H * T)),
    "attention-causal": (attend(is_causal=True), (heads,) * 3, SCORES, 6 * PAIRS, None),
    "attention-masked": (attend(attn_mask=torch.zeros(T, T)), (heads,) * 3, SCORES, 7 * PAIRS, None),
    "attention-fewer-keys": (attend(enable_gqa=True), (heads, fewer, fewer), SCORES, 6 * PAIRS, None),
    "attention-math": (attend(MATH), (heads,) * 3, SCORES, 5 * PAIRS + 2 * heads.numel(), None),
    "attention-vmap": (torch.func.vmap(attend()), (torch.ones(3, B, H, T, D),) * 3, 3 * SCORES, 18 * PAIRS, None),
    "flex": (flex(), (heads,) * 3, SCORES, None, None),
    "flex-score": (flex(score=lambda s, b, h, i, j: s + (i - j)), (heads,) * 3, SCORES, None, None),
    "flex-mask": (flex(masked=True), (heads,) * 3, SCORES, None, None),
    "flex-fewer-keys": (flex(), (heads, fewer, fewer), SCORES, None, None),
    "flex-compiled": (flex(compiled=True), (heads,) * 3, SCORES, None, None),
    "grouped-rows": (
        lambda a, b: torch._grouped_mm(a, b, offs=offsets), (bfloat(T, 16), bfloat(3, 16, 32)),
        2 * T * 16 * 32, 0, 2 * (T * 16 + 3 * 16 * 32 + T * 32) + 3 * 4,
    ),
    "grouped-inner": (
        lambda a, b: torch._grouped_mm(a.T, b, offs=offsets), (bfloat(T, 16), bfloat(T, 32)), 2 * 16 * T * 32, 0, None,
    ),
    "grouped-batch": (F.grouped_mm, (bfloat(3, T, 16), bfloat(3, 16, 32)), 2 * 3 * T * 16 * 32, 0, None),
    "whole-numbers": (
        torch._int_mm, (torch.ones(32, 16, dtype=torch.int8), torch.ones(16, 8, dtype=torch.int8)),
        2 * 32 * 16 * 8, 0, 32 * 16 + 16 * 8 + 4 * 32 * 8,
    ),
    "complex-product": (lambda a: a @ a.mT, (numbers(B, T, D),), 8 * B * T * T * D, 0, None),
    "bilinear": (nn.Bilinear(D, D, 3, bias=False), (x, x), 3 * B * T * 3 * D * D, 0, None),
    "triangular": (
        lambda a, b: torch.linalg.solve_triangular(a, b, upper=False), (square, torch.ones(6, 2)), 36 * 2, 0, None,
    ),
    "inverse": (torch.linalg.inv, (square,), 2 * 6**3, 0, None),
    "cholesky": (torch.linalg.cholesky, (square,), 6**3 // 3, 0, None),
    "solve": (torch.linalg.solve, (square, torch.ones(6, 2)), 2 * 6**3 // 3 + 2 * 36 * 2, 0, None),
    "determinant": (torch.det, (square,), 2 * 6**3 // 3, None, None),
    "qr": (
        lambda a: torch.linalg.qr(a)[1], (tall,), 2 * (2 * 9 * 25 - round(2 * 125 / 3)), 0, FLOAT * (45 + 45 + 25),
    ),
    "qr-without-q": (lambda a: torch.linalg.qr(a, "r")[1], (tall,), 2 * 9 * 25 - round(2 * 125 / 3), 0, None),
    "distances": (torch.cdist, (x, x), 2 * B * T * T * D, B * T * T, None),
    "convolution": (
        lambda a, w: F.conv1d(a, w, padding=1), (real(2, 4, 9), real(6, 4, 3)), 2 * 2 * 6 * 9 * 4 * 3, 0,
        FLOAT * (72 + 72 + 108),
    ),
    "convolution-grouped": (
        lambda a, w: F.conv1d(a, w, groups=4), (real(2, 4, 9), real(4, 1, 3)), 2 * 2 * 4 * 7 * 3, 0, None,
    ),
    "convolution-transposed": (
        lambda a, w: F.conv_transpose2d(a, w, stride=2), (real(2, 4, 9, 9), real(4, 6, 3, 3)),
        2 * 2 * 4 * 81 * 6 * 9, 0, None,
    ),
    "convolution-complex": (  # by three real ones
        F.conv1d, (numbers(2, 4, 9), numbers(6, 4, 3)), 3 * 2 * 2 * 6 * 7 * 4 * 3, None, None,
    ),
    "convolution-time-first": (
        lambda a, w, b: torch.conv_tbc(a, w, b, 1), (real(9, 2, 4), real(3, 4, 6), real(6)), 2 * 9 * 2 * 6 * 3 * 4,
        None, None,
    ),
    "convolution-vmap": (
        torch.func.vmap(F.conv1d), (torch.ones(3, 2, 4, 9), torch.ones(3, 6, 4, 3)), 3 * 2 * 2 * 6 * 7 * 4 * 3, 0, None,
    ),
    "fft": (torch.fft.fft, (numbers(B, T, D),), fft(D, B * T), 0, 2 * COMPLEX * N),
    "fft-real": (torch.fft.rfft, (x,), fft(D, B * T) / 2, 0, FLOAT * N + COMPLEX * B * T * (D // 2 + 1)),
    "fft-real-inverse": (lambda a: torch.fft.irfft(a, n=D), (numbers(B, T, D // 2 + 1),), fft(D, B * T) / 2, N, None),
    "fft-inverse": (torch.fft.ifft, (numbers(B, T, D),), fft(D, B * T), N, None),
    "fft-time": (lambda a: torch.fft.fft(a, dim=1), (numbers(B, T, D),), fft(T, B * D), 0, None),
    "fft-two": (torch.fft.fft2, (numbers(B, T, D),), fft(T * D, B), 0, None),
    "fft-all": (torch.fft.fftn, (numbers(B, T, D),), fft(N, 1), 0, None),
    "fft-hermitian": (lambda a: torch.fft.hfft(a, n=D), (numbers(B, T, D // 2 + 1),), fft(D, B * T) / 2, None, None),
    "lstm": (nn.LSTM(D, D, batch_first=True), (x,), 2 * B * T * 4 * 2 * D * D, weights.LSTM_CELL * N, None),
    "gru": (nn.GRU(D, D, batch_first=True), (x,), 2 * B * T * 3 * 2 * D * D, None, None),
    "rnn": (nn.RNN(D, D, batch_first=True), (x,), 2 * B * T * 2 * D * D, 4 * N, None),
    "lstm-projected": (
        nn.LSTM(D, D, proj_size=4, batch_first=True), (x,), 2 * B * T * (4 * D * (D + 4) + 4 * D), None, None,
    ),
    "lstm-cell": (nn.LSTMCell(D, D), (torch.ones(B, D),), 2 * B * 4 * 2 * D * D, None, None),
    "sort": (lambda a: a.sort(1)[0], (x,), 0, 4 * N, N * (2 * FLOAT + LONG)),
    "sort-stable": (lambda a: a.sort(dim=1, stable=True)[0], (x,), 0, 4 * N, N * (2 * FLOAT + LONG)),
    "top": (lambda a: a.topk(3)[0], (x,), 0, N, N * FLOAT + B * T * 3 * (FLOAT + LONG)),
    "gather": (lambda a: a.gather(1, rows), (x,), 0, 0, rows.numel() * (FLOAT + FLOAT + LONG)),
    "embedding": (lambda w: F.embedding(ids, w), (real(50, D),), 0, 0, 2 * N * FLOAT + B * T * LONG),
    "bag": (lambda w: F.embedding_bag(ids, w), (real(50, D),), 0, N, None),
    "cumsum": (lambda a: a.cumsum(1), (x,), 0, N, 2 * N * FLOAT),
    "cumprod": (lambda a: a.cumprod(1), (x,), 0, N, 2 * N * FLOAT),
    "cummax": (lambda a: a.cummax(1)[0], (x,), 0, N, N * (2 * FLOAT + LONG)),
    "logcumsumexp": (lambda a: a.logcumsumexp(1), (x,), 0, N, 2 * N * FLOAT),
    "scan-by-steps": (steps, (x,), 0, None, None),
    "vmap": (torch.func.vmap(lambda a: a @ a.mT), (x,), 2 * B * T * T * D, 0, None),
    "grad": (lambda a: torch.func.grad(lambda y: (y @ y.mT).sum())(a), (x,), 3 * 2 * B * T * T * D, None, None),
    "jvp": (lambda a: torch.func.jvp(lambda y: y @ y.mT, (a,), (a,))[1], (x,), 3 * 2 * B * T * T * D, None, None),
    "pool-mean": (lambda a: F.avg_pool2d(a, 2), (x,), 0, N, FLOAT * (N + N // 4)),
    "pool-maximum": (lambda a: F.max_pool2d(a, 2), (x,), 0, N, FLOAT * (N + N // 4) + LONG * N // 4),
    "interpolation": (lambda a: F.interpolate(a, scale_factor=2, mode="linear"), (x,), 0, 3 * 2 * N, 3 * N * FLOAT),
    "windows": (lambda a: F.unfold(a, 3), (torch.ones(2, 4, 9, 9),), 0, 0, FLOAT * (648 + 2 * 36 * 49)),
    "windows-added": (lambda a: F.fold(a, (9, 9), 3), (torch.ones(2, 36, 49),), 0, 2 * 36 * 49, None),
    "glu": (F.glu, (x,), 0, N // 2 * (1 + weights.SIGMOID), FLOAT * (N + N // 2)),
    "squared-error": (lambda a: F.mse_loss(a, torch.ones(B, T, D)), (x,), 0, 3 * N, None),
    "cross-product": (lambda a: torch.linalg.cross(a[..., :3], a[..., 3:6]), (x,), 0, 3 * B * T * 3, None),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FORWARD))
def test_forward(name):
    function, inputs, contraction, pointwise, moved = FORWARD[name]
    found = traced(function, inputs)
    assert found.uncounted == ()
    assert found.flops.total(Kind.CONTRACTION) == contraction
    if pointwise is not None:
        assert found.flops.total(Kind.POINTWISE) == pointwise
    if moved is not None:
        assert found.traffic.total() == moved


# name: function, inputs, how many times the forward FLOPs a training step takes
TRAINED = {
    "attention": (attend(), (heads,) * 3, 3.5),  # the scores again
    "attention-math": (attend(MATH), (heads,) * 3, 3),
    "convolution": (F.conv1d, (real(2, 4, 9), real(6, 4, 3)), 3),
    "convolution-transposed": (F.conv_transpose1d, (real(2, 4, 9), real(4, 6, 3)), 3),
    "fft": (
        lambda a: torch.fft.irfft(torch.fft.rfft(a), n=D),
        (x,),
        2.5,
    ),  # backward of a real transform is a complex one
    "lstm": (nn.LSTM(D, D, batch_first=True), (x,), 3),
    "distances": (torch.cdist, (x, real(B, 5, D)), 3),
    "vmap": (torch.func.vmap(lambda a, b: a @ b.mT), (x, real(B, 5, D)), 3),
}


@pytest.mark.parametrize("name", sorted(TRAINED))
def test_training(name):
    function, inputs, times = TRAINED[name]
    found = traced(function, inputs, "train")
    assert found.uncounted == ()
    assert found.flops.total(Kind.CONTRACTION) == times * traced(function, inputs).flops.total(Kind.CONTRACTION)


def test_a_scan_by_halves_adds_less_than_twice_as_often():
    found = traced(halves, (x,)).flops.total(Kind.POINTWISE)
    assert (T - 1) * B * D <= found <= 2 * T * B * D


def test_grouped_products_in_training():
    def experts(a, b):
        return torch._grouped_mm(a, b, offs=offsets) * torch.ones(T, 32, dtype=torch.bfloat16)

    a, b = bfloat(T, 16).requires_grad_(), bfloat(3, 16, 32).requires_grad_()
    assert traced(experts, (a, b), "train").flops.total(Kind.CONTRACTION) == 3 * 2 * T * 16 * 32


def test_what_cannot_be_seen_to_be_kept_has_a_reason():
    found = traced(lambda a: torch.func.grad(lambda y: (y @ y.mT).sum())(a), (x,))
    assert found.saved is None
    assert "torch.func" in found.no_saved
    assert "does not run with gradients" in traced(flex(), (heads,) * 3).no_saved
    count = seqcost.count(Apply(flex()), inputs=(heads,) * 3, length=T)
    (reason,) = [row["reason"] for row in count.uncounted if row.get("quantity") == "saved_bytes"]
    assert "FlexAttention does not support backward on CPU" in reason


def test_eigenvalues_depend_on_the_values_and_are_listed():
    (missing,) = traced(torch.linalg.eigvalsh, (square,)).uncounted
    assert (missing.operator, missing.calls) == ("aten::_linalg_eigh", 1)


@torch.library.custom_op("seqcost_table::scan", mutates_args=())
def custom_scan(a: torch.Tensor) -> torch.Tensor:
    return a.cumsum(1)


@custom_scan.register_fake
def _(a: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(a)


def test_a_custom_operator_is_listed_until_it_is_registered():
    module = nn.Sequential(nn.Identity(), Apply(lambda a: custom_scan(a)))
    (missing,) = traced(module, (x,)).uncounted
    assert (missing.operator, missing.path, missing.calls) == ("seqcost_table::scan", "1", 1)
    assert missing.moved_bytes == 2 * N * FLOAT
    register_operator(torch.ops.seqcost_table.scan, pointwise=lambda a, out: a.numel())
    try:
        assert seqcost.count(module, inputs=(x,), length=T, batch=B, strict=True).pointwise == N
    finally:
        forget_operator("seqcost_table::scan")


@pytest.mark.parametrize(
    "name",
    ["seqcost_table::scan", torch.ops.seqcost_table.scan, torch.ops.seqcost_table.scan.default, custom_scan],
    ids=["text", "packet", "overload", "definition"],
)
def test_an_operator_is_forgotten_by_whatever_it_can_be_registered_by(name):
    register_operator(name, pointwise=lambda a, out: a.numel())
    try:
        assert traced(lambda a: custom_scan(a), (torch.ones(B, T, D),)).flops.total() == N
    finally:
        forget_operator(name)
    (missing,) = traced(lambda a: custom_scan(a), (torch.ones(B, T, D),)).uncounted
    assert missing.operator == "seqcost_table::scan"
    with pytest.raises(BadTarget, match="seqcost_table::scan was to be forgotten and is no operator that was reg"):
        forget_operator(name)
    with pytest.raises(BadTarget, match="3 was given as an operator"):
        forget_operator(3)


def test_a_triton_operator_is_listed_until_it_is_registered():
    triton = pytest.importorskip("triton")
    language = pytest.importorskip("triton.language")

    @triton.jit
    def doubled(source, result, size, block: language.constexpr):
        at = language.program_id(0) * block + language.arange(0, block)
        language.store(result + at, 2 * language.load(source + at, mask=at < size), mask=at < size)

    @torch.library.triton_op("seqcost_table::double", mutates_args=())
    def double(a: torch.Tensor) -> torch.Tensor:
        out = torch.empty_like(a)
        torch.library.wrap_triton(doubled)[(triton.cdiv(a.numel(), 64),)](a, out, a.numel(), 64)
        return out

    (missing,) = traced(lambda a: double(a), (torch.ones(B, T, D),)).uncounted
    assert (missing.operator, missing.moved_bytes) == ("seqcost_table::double", 2 * N * FLOAT)
    register_operator("seqcost_table::double", pointwise=lambda a, out: a.numel())
    try:
        assert traced(lambda a: double(a), (torch.ones(B, T, D),)).flops.total() == N
    finally:
        forget_operator("seqcost_table::double")


def test_an_operator_stands_in_one_table_alone():
    tables = (CONTRACTIONS, CUDNN, FACTORISATIONS, PACKED, POINTWISE, WINDOWS)
    assert len(OPERATORS) == sum(map(len, tables))
    with pytest.raises(AssertionError, match="aten::mm has two formulas"):
        one_table({"aten::mm": OPERATORS["aten::mm"]}, {"aten::mm": OPERATORS["aten::add"]})


def test_every_operator_of_the_table_has_a_kernel():
    assert [name for name, known in OPERATORS.items() if known.kernel is Kernel.OTHER or not known.known] == []


GRID = torch.rand(2, 5, 5, 2) - 0.5

# name: function, inputs, the operator of the backward pass, operations that its definition takes
DERIVED = {
    # σ(b), g·σ, g·a, and three for σ'
    "glu": (F.glu, (x,), "aten::glu_backward", 6 * N // 2),
    # two comparisons, x/3, + ½, times g
    "hardswish": (F.hardswish, (x,), "aten::hardswish_backward", 5 * N),
    # each element of a window of four takes its share
    "pool-mean": (lambda a: F.avg_pool2d(a, 2), (x,), "aten::avg_pool2d_backward", N),
    "pool-maximum": (lambda a: F.max_pool2d(a, 2), (x,), "aten::max_pool2d_with_indices_backward", N // 4),
    # a product and a sum for each of four points
    "grid": (
        lambda a: F.grid_sample(a, a.new_zeros(2, 5, 5, 2), align_corners=False), (real(2, 3, 7, 7),),
        "aten::grid_sampler_2d_backward", 8 * 2 * 3 * 25,
    ),
    # and for both coordinates, at four points: g·v, times the other weight, a sum
    "grid-coordinates": (
        lambda a, at: F.grid_sample(a, at, align_corners=False), (real(2, 3, 7, 7), GRID.clone().requires_grad_()),
        "aten::grid_sampler_2d_backward", (8 + 24) * 2 * 3 * 25,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(DERIVED))
def test_backward_takes_what_its_definition_takes(name):
    function, inputs, operator, expected = DERIVED[name]
    found = traced(function, inputs, "train")
    assert [row.pointwise for row in found.rows if row.name == operator] == [expected]
