"""PyTorch's operators by their own names, made runnable: what a profile of the CPU is measured with.

The names are those of rows of work, so that a row finds its series. Each is called as a module calls it, through
Python, on random tensors that are there already; what it returns is new memory, as in a model. An operator that a
backward pass launches is called by its own name as well. Not covered: sparse and quantised ones.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.measure.kernels.case import Case

aten = torch.ops.aten
Call = Callable[[], object]
Draw = Callable[..., Tensor]
VOCABULARY = 8192

ANGLE = 100.0  # of a position: sines of such take longer than of those between -1 and 1


# One tensor in, one out.
UNARY: dict[str, Callable[[Tensor], object]] = {
    "neg": torch.neg, "exp": torch.exp, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "gelu": F.gelu, "silu": F.silu,
    "relu": torch.relu, "elu": F.elu, "softplus": F.softplus, "log_sigmoid_forward": F.logsigmoid,
    "rsqrt": torch.rsqrt, "sqrt": torch.sqrt, "abs": torch.abs,
    "log": torch.log, "log1p": torch.log1p, "expm1": torch.expm1, "erf": torch.erf, "reciprocal": torch.reciprocal,
    "square": torch.square, "zeros_like": torch.zeros_like, "ones_like": torch.ones_like,
}  # fmt: skip
# Two alike in, one out.
BINARY: dict[str, Callable[[Tensor, Tensor], object]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "maximum": torch.maximum,
    "minimum": torch.minimum, "logaddexp": torch.logaddexp, "eq": torch.eq, "lt": torch.lt, "ge": torch.ge,
    "tanh_backward": aten.tanh_backward, "sigmoid_backward": aten.sigmoid_backward,
    "gelu_backward": aten.gelu_backward, "silu_backward": aten.silu_backward,
    "softplus_backward": lambda g, x: aten.softplus_backward(g, x, 1, 20),
    "elu_backward": lambda g, x: aten.elu_backward(g, 1, 1, 1, False, x),
    "threshold_backward": lambda g, x: aten.threshold_backward(g, x, 0),
    "addcmul": lambda x, y: torch.addcmul(x, x, y), "lerp": lambda x, y: torch.lerp(x, y, 0.5),
}  # fmt: skip
# Over the last axis of [rows, length].
OVER_ROWS: dict[str, Callable[[Tensor], object]] = {
    "sum": lambda x: x.sum(-1), "mean": lambda x: x.mean(-1), "amax": lambda x: x.amax(-1),
    "cumsum": lambda x: x.cumsum(-1), "logcumsumexp": lambda x: x.logcumsumexp(-1), "sort": lambda x: x.sort(-1),
    "_softmax": lambda x: x.softmax(-1), "_log_softmax": lambda x: x.log_softmax(-1),
    "logsumexp": lambda x: x.logsumexp(-1), "topk": lambda x: x.topk(min(8, x.shape[-1])),
}  # fmt: skip


def operator_call(case: Case, draw: Draw) -> Call:
    """The launch, on tensors that are drawn; to be called without grad. KeyError for what is not in the table."""
    if case.operator in UNARY:
        return partial(UNARY[case.operator], draw(*case.sizes))
    if case.operator in BINARY:
        return partial(BINARY[case.operator], draw(*case.sizes), draw(*case.sizes))
    if case.operator in OVER_ROWS:
        return partial(OVER_ROWS[case.operator], draw(*case.sizes))
    return SPECIAL[case.operator](case.sizes, draw)


def _of_angles(function: Callable[[Tensor], Tensor], sizes: tuple[int, ...], draw: Draw) -> Call:
    return partial(function, ANGLE * draw(*sizes))


def _arange(sizes: tuple[int, ...], draw: Draw) -> Call:
    return partial(torch.arange, sizes[0], dtype=draw(1).dtype)


def _addmm(sizes: tuple[int, ...], draw: Draw) -> Call:
    m, k, n = sizes
    return partial(F.linear, draw(m, k), draw(n, k), draw(n))


def _mm(sizes: tuple[int, ...], draw: Draw) -> Call:
    """A long inner axis is that of a weight's gradient, whose first operand lies across."""
    m, k, n = sizes
    return partial(torch.mm, draw(k, m).t() if k > m else draw(m, k), draw(k, n))


def _bmm(sizes: tuple[int, ...], draw: Draw) -> Call:
    b, m, k, n = sizes
    return partial(torch.bmm, draw(b, m, k), draw(b, k, n))


def _heads(sizes: tuple[int, ...], draw: Draw) -> list[Tensor]:
    """As layers make them: [B,T,H,K] seen as [B,H,T,K]."""
    B, H, T, S, K, V = sizes
    return [draw(B, length, H, width).transpose(1, 2) for length, width in ((T, K), (S, K), (S, V))]


def _attention(sizes: tuple[int, ...], draw: Draw) -> Call:
    q, k, v = _heads(sizes, draw)
    return partial(F.scaled_dot_product_attention, q, k, v)


def _attention_backward(sizes: tuple[int, ...], draw: Draw) -> Call:
    q, k, v = _heads(sizes, draw)
    out, logsumexp = aten._scaled_dot_product_flash_attention_for_cpu(q, k, v)
    backward = aten._scaled_dot_product_flash_attention_for_cpu_backward
    return lambda: backward(torch.empty_like(out), q, k, v, out, logsumexp, 0.0, False)


def _layer_norm(sizes: tuple[int, ...], draw: Draw) -> Call:
    return partial(F.layer_norm, draw(*sizes), sizes[1:], draw(sizes[1]), draw(sizes[1]))


def _layer_norm_backward(sizes: tuple[int, ...], draw: Draw) -> Call:
    x, weight = draw(*sizes), draw(sizes[1])
    out, mean, rstd = aten.native_layer_norm(x, sizes[1:], weight, weight, 1e-5)
    return partial(aten.native_layer_norm_backward, out, x, sizes[1:], mean, rstd, weight, weight, [True] * 3)


def _rms_norm(sizes: tuple[int, ...], draw: Draw) -> Call:
    return partial(F.rms_norm, draw(*sizes), sizes[1:], draw(sizes[1]))


def _group_norm(sizes: tuple[int, ...], draw: Draw) -> Call:
    return partial(F.group_norm, draw(sizes[0], sizes[1]), 1)


def _softmax_backward(name: str, sizes: tuple[int, ...], draw: Draw) -> Call:
    x = draw(*sizes)
    return partial(getattr(aten, name), x, draw(*sizes).softmax(-1), -1, x.dtype)


def _stack(sizes: tuple[int, ...], draw: Draw) -> Call:
    """Eight tensors, one behind the other."""
    parts = [draw(max(sizes[0] // 8, 1)) for _ in range(8)]
    return partial(torch.stack, parts)


def _cat(sizes: tuple[int, ...], draw: Draw) -> Call:
    half = max(sizes[0] // 2, 1)
    return partial(torch.cat, (draw(half), draw(half)))


def _clone(sizes: tuple[int, ...], draw: Draw) -> Call:
    """Heads put before tokens, the width of a small head kept together: what most copies of a model do."""
    width = 16 if sizes[0] >= 4096 else 8
    x = draw(sizes[0] // width // 8, 8, width) if sizes[0] >= 8 * width else draw(1, sizes[0] // width, width)
    return x.transpose(0, 1).contiguous if sizes[0] >= 16 * width else x.clone


def _cast(sizes: tuple[int, ...], draw: Draw) -> Call:
    x = draw(*sizes)
    return partial(x.to, torch.bfloat16 if x.dtype == torch.float32 else torch.float32)


def _fill(sizes: tuple[int, ...], draw: Draw) -> Call:
    return partial(torch.zeros, sizes, dtype=draw(1).dtype)


def _where(sizes: tuple[int, ...], draw: Draw) -> Call:
    return partial(torch.where, draw(*sizes) > 0, draw(*sizes), draw(*sizes))


def _masked_fill(sizes: tuple[int, ...], draw: Draw) -> Call:
    return partial(torch.masked_fill, draw(*sizes), draw(*sizes) > 0, 0.0)


def _pow(sizes: tuple[int, ...], draw: Draw) -> Call:
    return partial(torch.pow, draw(*sizes), 2)


def _ids(count: int, rows: int) -> Tensor:
    return torch.randint(rows, (count,))


def _embedding(sizes: tuple[int, ...], draw: Draw) -> Call:
    D = 256 if sizes[0] >= 4096 else 32
    return partial(F.embedding, _ids(max(sizes[0] // D, 1), VOCABULARY), draw(VOCABULARY, D))


def _embedding_backward(sizes: tuple[int, ...], draw: Draw) -> Call:
    D = 256 if sizes[0] >= 4096 else 32
    tokens = max(sizes[0] // D, 1)
    return partial(aten.embedding_dense_backward, draw(tokens, D), _ids(tokens, VOCABULARY), VOCABULARY, -1, False)


def _gather(sizes: tuple[int, ...], draw: Draw) -> Call:
    D = 64 if sizes[0] >= 4096 else 8
    rows = max(sizes[0] // D, 1)
    return partial(torch.gather, draw(rows, D), 0, _ids(rows, rows).unsqueeze(1).expand(rows, D))


def _index(sizes: tuple[int, ...], draw: Draw) -> Call:
    D = 64 if sizes[0] >= 4096 else 8
    rows = max(sizes[0] // D, 1)
    table, ids = draw(rows, D), _ids(rows, rows)
    return lambda: table[ids]


def _scatter_add(sizes: tuple[int, ...], draw: Draw) -> Call:
    D = 64 if sizes[0] >= 4096 else 8
    rows = max(sizes[0] // D, 1)
    ids = _ids(rows, rows).unsqueeze(1).expand(rows, D)
    table, x = draw(rows, D), draw(rows, D)
    return partial(torch.scatter_add, table, 0, ids, x)


def _convolution(sizes: tuple[int, ...], draw: Draw) -> Call:
    _, channels, D, taps, _ = sizes
    return partial(F.conv1d, *_filtered(sizes, draw), draw(D), padding=taps - 1, groups=D // channels)


def _filtered(sizes: tuple[int, ...], draw: Draw) -> tuple[Tensor, Tensor]:
    B, channels, D, taps, positions = sizes
    return draw(B, D, positions - taps + 1), draw(D, channels, taps)


def _convolution_backward(sizes: tuple[int, ...], draw: Draw) -> Call:
    B, channels, D, taps, positions = sizes
    x, weight = _filtered(sizes, draw)
    return partial(
        aten.convolution_backward, draw(B, D, positions), x, weight, [D], [1], [taps - 1], [1], False, [0],
        D // channels, [True, True, True],
    )  # fmt: skip


def _lstm(sizes: tuple[int, ...], draw: Draw) -> Call:
    steps, sequences, width, hidden = sizes
    cell = torch.nn.LSTM(width, hidden).to(draw(1).dtype)
    return partial(cell, draw(steps, sequences, width))


def _lstm_backward(sizes: tuple[int, ...], draw: Draw) -> Call:
    steps, sequences, width, hidden = sizes
    cell = torch.nn.LSTM(width, hidden).to(draw(1).dtype)
    with torch.enable_grad():
        x = draw(steps, sequences, width).requires_grad_()
        y = cell(x)[0]
    g, wanted = torch.ones_like(y), [x, *cell.parameters()]
    return lambda: torch.autograd.grad(y, wanted, g, retain_graph=True)


def _rfft(sizes: tuple[int, ...], draw: Draw) -> Call:
    return partial(torch.fft.rfft, draw(*sizes))


def _irfft(sizes: tuple[int, ...], draw: Draw) -> Call:
    return partial(torch.fft.irfft, torch.fft.rfft(draw(*sizes)), n=sizes[1])


SPECIAL: dict[str, Callable[[tuple[int, ...], Draw], Any]] = {
    "sin": partial(_of_angles, torch.sin), "cos": partial(_of_angles, torch.cos), "arange": _arange,
    "addmm": _addmm, "mm": _mm, "bmm": _bmm,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
    "native_layer_norm": _layer_norm, "native_layer_norm_backward": _layer_norm_backward, "rms_norm": _rms_norm,
    "native_group_norm": _group_norm,
    "_softmax_backward_data": partial(_softmax_backward, "_softmax_backward_data"),
    "_log_softmax_backward_data": partial(_softmax_backward, "_log_softmax_backward_data"),
    "stack": _stack, "cat": _cat, "clone": _clone, "_to_copy": _cast, "zeros": _fill, "where": _where,
    "masked_fill": _masked_fill, "pow": _pow, "embedding": _embedding, "embedding_dense_backward": _embedding_backward,
    "gather": _gather, "index": _index, "scatter_add": _scatter_add,
    "convolution": _convolution, "convolution_backward": _convolution_backward,
    "mkldnn_rnn_layer": _lstm, "mkldnn_rnn_layer_backward": _lstm_backward,
    "_fft_r2c": _rfft, "_fft_c2r": _irfft,
}  # fmt: skip
