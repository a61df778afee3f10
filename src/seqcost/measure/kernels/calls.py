"""A case made runnable: PyTorch's operator on random tensors of its own.

Random, since products of zeros draw less power and run faster. Tensors stand on the device before the clock starts;
what an operator returns is allocated by the launch itself, as in a model. Not covered: strides other than a fresh
tensor's, but for the operands of a linear layer.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.algebra.work import Direction, Kernel
from seqcost.measure.kernels.case import Case

Call = Callable[[], object]
VOCABULARY = 50257
DECAY = 0.9


def call_of(case: Case, device: torch.device) -> Call:
    """The launch; `call()` runs it once, its gradients alone where the case is backward. To be called without grad."""
    draw = partial(_normal, dtype=getattr(torch, case.dtype), device=device)
    if case.kernel in (Kernel.PRODUCT, Kernel.BATCHED_PRODUCT):
        return _product(case, draw)
    run, inputs = _differentiable(case, draw, device) or (None, [])
    if run is None:
        return OTHERS[case.operator.partition(":")[0]](case, draw)
    return _backward(run, inputs) if case.direction == Direction.BACKWARD else run


def _normal(*shape: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.randn(shape, dtype=dtype, device=device)


def _backward(run: Callable[[], Any], inputs: list[Tensor]) -> Call:
    wanted = [x.requires_grad_() for x in inputs]
    with torch.enable_grad():
        output = run()
    gradient = torch.randn_like(output)
    return lambda: torch.autograd.grad(output, wanted, gradient, retain_graph=True)


def _product(case: Case, draw: Callable[..., Tensor]) -> Call:
    if case.kernel == Kernel.BATCHED_PRODUCT:
        b, m, k, n = case.sizes
        return partial(torch.bmm, draw(b, m, k), draw(b, k, n))
    m, k, n = case.sizes
    if case.operator == "input_gradient":  # dy [m,k] @ W [k,n], the weight as it lies
        return partial(torch.mm, draw(m, k), draw(k, n))
    if case.operator == "weight_gradient":  # dyᵀ [m,k] @ x [k,n], dy [k,m] as it lies
        return partial(torch.mm, draw(k, m).t(), draw(k, n))
    return partial(F.linear, draw(m, k), draw(n, k))


def _differentiable(
    case: Case, draw: Callable[..., Tensor], device: torch.device
) -> tuple[Callable[[], Any], list[Tensor]] | None:
    """A launch and the tensors that its backward pass gives gradients of."""
    z = case.sizes
    if case.kernel == Kernel.ATTENTION:
        B, H, T, S, K, V = z
        q, k, v = draw(B, H, T, K), draw(B, H, S, K), draw(B, H, S, V)
        return partial(F.scaled_dot_product_attention, q, k, v, is_causal=case.causal), [q, k, v]
    if case.kernel == Kernel.CONVOLUTION:
        B, channels, D, taps, positions = z
        x, weight = draw(B, D, positions - taps + 1), draw(D, channels, taps)
        return partial(F.conv1d, x, weight, padding=taps - 1, groups=D // channels), [x, weight]
    if case.kernel == Kernel.RECURRENCE:
        steps, sequences, width, hidden = z
        kind = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[case.operator]
        cell = kind(width, hidden, batch_first=True).to(device, getattr(torch, case.dtype))
        x = draw(sequences, steps, width)
        return lambda: cell(x)[0], [x, *cell.parameters()]
    if case.operator in ("softmax", "log_softmax"):
        x = draw(*z)
        return partial(getattr(torch, case.operator), x, -1), [x]
    if case.operator == "layer_norm":
        x, weight, bias = draw(*z), draw(z[1]), draw(z[1])
        return partial(F.layer_norm, x, z[1:], weight, bias), [x, weight, bias]
    return None


def _elementwise(case: Case, draw: Callable[..., Tensor]) -> Call:
    (n,) = case.sizes
    x = draw(n)
    one: dict[str, Callable[[], Call]] = {
        "copy": lambda: partial(x.clone),
        "exp": lambda: partial(torch.exp, x),
        "gelu": lambda: partial(F.gelu, x),
        "silu": lambda: partial(F.silu, x),
        "sigmoid": lambda: partial(torch.sigmoid, x),
        "add": lambda: partial(torch.add, x, draw(n)),
        "mul": lambda: partial(torch.mul, x, draw(n)),
        "addcmul": lambda: partial(torch.addcmul, x, draw(n), draw(n)),
        "swiglu": lambda: partial(_swiglu, x, draw(n)),
        "cast": lambda: partial(x.to, torch.bfloat16 if x.dtype == torch.float32 else torch.float32),
        "fill": lambda: partial(torch.zeros_like, x),
        "transpose": lambda: partial(_transposed, x.view(-1, 64)),
        "normal": lambda: partial(torch.randn_like, x),
        "dropout": lambda: partial(F.dropout, x, 0.1),
        "adamw": lambda: _adamw(x, draw(n)),
    }
    return one[case.operator]()


def _swiglu(x: Tensor, gate: Tensor) -> Tensor:
    return F.silu(gate) * x


def _transposed(x: Tensor) -> Tensor:
    return x.t().contiguous()


def _adamw(weight: Tensor, gradient: Tensor) -> Call:
    parameter = nn.Parameter(weight)
    parameter.grad = gradient
    optimizer = torch.optim.AdamW([parameter], foreach=True, capturable=weight.is_cuda)
    return optimizer.step


def _over_rows(case: Case, draw: Callable[..., Tensor]) -> Call:
    x = draw(*case.sizes)
    of: dict[str, Call] = {
        "rms_norm": partial(F.rms_norm, x, case.sizes[1:], draw(case.sizes[1])),
        "sum": partial(torch.sum, x, -1),
        "sum_rows": partial(torch.sum, x, 0),
        "amax": partial(torch.amax, x, -1),
        "cumsum": partial(torch.cumsum, x, -1),
        "cumsum_rows": partial(torch.cumsum, x, 0),
        "sort": partial(torch.sort, x, -1),
        "topk": partial(torch.topk, x, min(8, case.sizes[1])),
    }
    return of[case.operator]


def _looking_up(case: Case, draw: Callable[..., Tensor]) -> Call:
    operator, _, width = case.operator.partition(":")
    D = int(width)
    tokens = case.sizes[0] // D
    x, table = draw(tokens, D), draw(VOCABULARY, D)
    ids = torch.randint(VOCABULARY, (tokens,), device=x.device)
    each = ids.unsqueeze(1).expand(tokens, D).contiguous() if operator in ("gather", "scatter_add") else ids
    of: dict[str, Call] = {
        "embedding": partial(F.embedding, ids, table),
        "index_select": partial(torch.index_select, table, 0, ids),
        "gather": partial(torch.gather, table, 0, each),
        "index_add": partial(table.index_add_, 0, ids, x),
        "scatter_add": partial(table.scatter_add_, 0, each, x),
        "embedding_backward": partial(torch.ops.aten.embedding_dense_backward, x, ids, VOCABULARY, -1, False),
    }
    return of[operator]


def _fourier(case: Case, draw: Callable[..., Tensor]) -> Call:
    x = draw(*case.sizes)
    if case.operator == "rfft":
        return partial(torch.fft.rfft, x)
    return partial(torch.fft.irfft, torch.fft.rfft(x), n=case.sizes[1])


OTHERS: dict[str, Callable[[Case, Callable[..., Tensor]], Call]] = {
    **dict.fromkeys(("rms_norm", "sum", "sum_rows", "amax", "cumsum", "cumsum_rows", "sort", "topk"), _over_rows),
    **dict.fromkeys(
        ("embedding", "index_select", "gather", "index_add", "scatter_add", "embedding_backward"), _looking_up
    ),
    **dict.fromkeys(("rfft", "irfft"), _fourier),
    **dict.fromkeys(
        ("copy", "exp", "gelu", "silu", "sigmoid", "add", "mul", "addcmul", "swiglu", "cast", "fill", "transpose",
         "normal", "dropout", "adamw"),
        _elementwise,
    ),
}  # fmt: skip
