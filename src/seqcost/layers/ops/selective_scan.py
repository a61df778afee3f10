"""The selective scan of Mamba: a recurrence with N numbers per feature, each of which decays at a rate of its own.

    h_t = exp(δ_t A) ⊙ h_{t−1} + (δ_t x_t) B_t        y_t = C_t h_t

`scan_step` is one token, `sequential_scan` a loop of them, `chunked_scan` the form that trains. What the paper calls
B_t and C_t is `write` and `read` here; the state lies as [B,N,E], its wide axis last. Everything is float32 or float64:
the caller casts. Letters: see formulas; E inner width, J chunks side by side.

The chunked form never has B·T·E·N numbers in memory. It takes segments of J chunks of C tokens one after another; a
segment fits into a cache. Within it all chunks are scanned at once from an empty state, which gives each one's end; the
ends are carried over the chunks, which gives each one's true start; from there all are scanned again. Only the starts
are kept for backward, which computes the rest anew, as the paper's kernel does (Gu & Dao 2023, section 3.3.2).

The starts are results, too, so that backward is a function of the inputs and the results alone, in operators that
autograd differentiates: gradients of gradients come out right. They keep all states of the text, N numbers per feature.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.layers.core.full_precision import full_precision
from seqcost.layers.core.open_length import Tensors, Turn, cut, is_open, num_chunks, walk
from seqcost.layers.ops.chunks import states
from seqcost.layers.ops.kernels import kernel_for


@full_precision
def scan_step(
    x_BE: Tensor, delta_BE: Tensor, rate_NE: Tensor, write_BN: Tensor, read_BN: Tensor, state_BNE: Tensor
) -> tuple[Tensor, Tensor]:
    """One token. `rate_NE` is A: negative, so that everything decays."""
    decay_BNE = (delta_BE.unsqueeze(1) * rate_NE).exp()
    written_BNE = write_BN.unsqueeze(2) * (delta_BE * x_BE).unsqueeze(1)
    state_BNE = decay_BNE * state_BNE + written_BNE
    return torch.bmm(read_BN.unsqueeze(1), state_BNE).squeeze(1), state_BNE


@full_precision
def sequential_scan(
    x_BTE: Tensor, delta_BTE: Tensor, rate_NE: Tensor, write_BTN: Tensor, read_BTN: Tensor, state_BNE: Tensor
) -> tuple[Tensor, Tensor]:
    """Token after token, T ≥ 0. Autograd keeps two states of every token."""
    if x_BTE.shape[1] == 0:
        return x_BTE, state_BNE

    def token(state: Tensors, signals: Tensors) -> Turn:
        x_BE, delta_BE, write_BN, read_BN = signals
        y_BE, after_BNE = scan_step(x_BE, delta_BE, rate_NE, write_BN, read_BN, state[0])
        return (after_BNE,), (y_BE,)

    (state_BNE,), (y_BTE,) = walk(token, (state_BNE,), (x_BTE, delta_BTE, write_BTN, read_BTN), dim=1)
    return y_BTE, state_BNE


@full_precision
def chunked_scan(
    x_BTE: Tensor,
    delta_BTE: Tensor,
    rate_NE: Tensor,
    write_BTN: Tensor,
    read_BTN: Tensor,
    state_BNE: Tensor,
    *,
    C: int,
    J: int,
) -> tuple[Tensor, Tensor]:
    """Chunks of C tokens, J side by side, T ≥ 0; differentiable in everything, the state included."""
    if x_BTE.shape[1] == 0:
        return x_BTE, state_BNE
    if (kernel := kernel_for("selective_scan", x_BTE, write_BTN, state_BNE)) is not None:
        return kernel(x_BTE, delta_BTE, rate_NE, write_BTN, read_BTN, state_BNE)
    if is_open(x_BTE.shape[1]):
        return _open_scan(x_BTE, delta_BTE, rate_NE, write_BTN, read_BTN, state_BNE, C, J)
    y_BTE, state_BNE, *_ = _ChunkedScan.apply(x_BTE, delta_BTE, rate_NE, write_BTN, read_BTN, state_BNE, C, J)
    return y_BTE, state_BNE


class _ChunkedScan(torch.autograd.Function):
    """y, the last state and, of each segment, the states before its chunks [B,J,N,E]."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        x_BTE: Tensor, delta_BTE: Tensor, rate_NE: Tensor, write_BTN: Tensor, read_BTN: Tensor, state_BNE: Tensor,
        C: int, J: int,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        y, starts = [], []
        for segment in _segments(C, J, x_BTE, delta_BTE, write_BTN, read_BTN):
            y_CBJE, start_BJNE, state_BNE = _segment(segment, rate_NE, state_BNE)
            y.append(y_CBJE)
            starts.append(start_BJNE)
        return _whole(y, x_BTE.shape[1]), state_BNE, *starts

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        ctx.save_for_backward(*inputs[:5], *output[2:])
        ctx.sizes = inputs[6:]
        ctx.set_materialize_grads(False)  # the starts have gradients only where gradients are differentiated

    @staticmethod
    @full_precision
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        x_BTE, delta_BTE, rate_NE, write_BTN, read_BTN, *starts = ctx.saved_tensors
        dy_BTE, dstate_BNE, *dstarts = gradients
        dy_BTE = torch.zeros_like(x_BTE) if dy_BTE is None else dy_BTE
        dstate_BNE = torch.zeros_like(starts[0][:, 0]) if dstate_BNE is None else dstate_BNE
        signals = _segments(*ctx.sizes, x_BTE, delta_BTE, write_BTN, read_BTN, dy_BTE)
        segments = list(zip(signals, starts, dstarts, strict=True))
        drate_NE, found = torch.zeros_like(rate_NE), []
        for (x_CBJE, delta_CBJE, write_CBJN, read_CBJN, dy_CBJE), start_BJNE, dstart_BJNE in reversed(segments):
            u_CBJE, decay_CBJNE = x_CBJE * delta_CBJE, _decay(delta_CBJE, rate_NE)
            decay, written = decay_CBJNE.unbind(0), _outer(write_CBJN, u_CBJE).unbind(0)
            states_CBJNE = torch.stack(states(start_BJNE, written, decay))
            # The same two scans from the other end: a state has the gradient that its own y gives it, and that of the
            # next state, decayed.
            given, later = _outer(read_CBJN, dy_CBJE).unbind(0), decay[:0:-1]
            front_BJNE = decay[0] * states(given[-1], given[-2::-1], later)[-1]
            if dstart_BJNE is not None:
                front_BJNE = front_BJNE + dstart_BJNE
            through = _through(delta_CBJE, rate_NE).unbind(1)
            *after, dstate_BNE = states(dstate_BNE, front_BJNE.unbind(1)[::-1], through[::-1])
            last_BJNE = given[-1] + torch.stack(after[::-1], dim=1)
            del after
            dh_CBJNE = torch.stack(states(last_BJNE, given[-2::-1], later)[::-1])
            du_CBJE = _sum_n(write_CBJN, dh_CBJNE)
            dwrite_CBJN = _sum_e(dh_CBJNE, u_CBJE)
            dread_CBJN = _sum_e(states_CBJNE[1:], dy_CBJE)
            dlog_CBJNE = _product(dh_CBJNE, decay_CBJNE, states_CBJNE[:-1])  # of log decay = δ_t A
            drate_NE = drate_NE + (dlog_CBJNE * delta_CBJE.unsqueeze(3)).sum((0, 1, 2))
            ddelta_CBJE = (dlog_CBJNE * rate_NE).sum(3) + du_CBJE * x_CBJE
            found.append((du_CBJE * delta_CBJE, ddelta_CBJE, dwrite_CBJN, dread_CBJN))
        dx, ddelta, dwrite, dread = (_whole(pieces[::-1], x_BTE.shape[1]) for pieces in zip(*found, strict=True))
        return dx, ddelta, drate_NE, dwrite, dread, dstate_BNE, None, None


def _open_scan(
    x_BTE: Tensor, delta_BTE: Tensor, rate_NE: Tensor, write_BTN: Tensor, read_BTN: Tensor, state_BNE: Tensor,
    C: int, J: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """`_ChunkedScan` in operators that an exporter takes while the number of segments is open."""

    def segment(state: Tensors, signals: Tensors) -> Turn:
        y_CBJE, _, after_BNE = _segment(signals, rate_NE, state[0])
        return (after_BNE,), (y_CBJE,)

    pieces = tuple(_turned(z, C, J) for z in (x_BTE, delta_BTE, write_BTN, read_BTN))
    (state_BNE,), (y_nCBJE,) = walk(segment, (state_BNE,), pieces, dim=0)
    return _joined(y_nCBJE, x_BTE.shape[1]), state_BNE


def _segment(signals: Tensors, rate_NE: Tensor, state_BNE: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the J chunks of a segment read, the states before them, and the one after the last."""
    x_CBJE, delta_CBJE, write_CBJN, read_CBJN = signals
    decay = _decay(delta_CBJE, rate_NE).unbind(0)
    written = _outer(write_CBJN, x_CBJE * delta_CBJE).unbind(0)
    end_BJNE = states(written[0], written[1:], decay[1:])[-1]
    *before, state_BNE = states(state_BNE, end_BJNE.unbind(1), _through(delta_CBJE, rate_NE).unbind(1))
    start_BJNE = torch.stack(before, dim=1)
    states_CBJNE = torch.stack(states(start_BJNE, written, decay)[1:])
    return _sum_n(read_CBJN, states_CBJNE), start_BJNE, state_BNE


def _segments(C: int, J: int, *sequences: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Each [B,T,K] cut into segments [C,B,J,K], the last one filled up with zeros: δ = 0 neither decays nor writes."""
    return zip(*(_turned(z, C, J).unbind(0) for z in sequences), strict=True)


def _turned(z_BTK: Tensor, C: int, J: int) -> Tensor:
    """All segments [n,C,B,J,K]: a copy."""
    B, T, K = z_BTK.shape
    n = num_chunks(T, C * J)
    filled = F.pad(z_BTK, (0, 0, 0, n * C * J - T)).view(B, n, J, C, K)
    return filled.permute(1, 3, 0, 2, 4).clone(memory_format=torch.contiguous_format)


def _whole(pieces: Sequence[Tensor], T: int) -> Tensor:
    """Segments [C,B,J,K] joined to [B,T,K] without what was filled up."""
    return _joined(torch.stack(tuple(pieces)), T)


def _joined(y_nCBJK: Tensor, T: int) -> Tensor:
    n, C, B, J, K = y_nCBJK.shape
    turned = y_nCBJK.permute(2, 0, 3, 1, 4).clone(memory_format=torch.contiguous_format)
    return cut(turned.view(B, n * J * C, K), T)


def _decay(delta_CBJE: Tensor, rate_NE: Tensor) -> Tensor:
    """exp(δ_t A) of every token: [C,B,J,N,E]."""
    return (delta_CBJE.unsqueeze(3) * rate_NE).exp_()


def _through(delta_CBJE: Tensor, rate_NE: Tensor) -> Tensor:
    """The decay over a whole chunk: [B,J,N,E]."""
    return (delta_CBJE.sum(0).unsqueeze(2) * rate_NE).exp_()


def _product(first: Tensor, *others: Tensor) -> Tensor:
    """In the memory of the first, unless autograd looks on."""
    for other in others:
        first = first * other if torch.is_grad_enabled() else first.mul_(other)
    return first


def _outer(n_CBJN: Tensor, e_CBJE: Tensor) -> Tensor:
    return n_CBJN.unsqueeze(4) * e_CBJE.unsqueeze(3)


def _sum_n(weights_CBJN: Tensor, states_CBJNE: Tensor) -> Tensor:
    """Σ_n w_n h_n: [C,B,J,E]."""
    C, B, J, N, E = states_CBJNE.shape
    return torch.bmm(weights_CBJN.view(-1, 1, N), states_CBJNE.view(-1, N, E)).view(C, B, J, E)


def _sum_e(states_CBJNE: Tensor, weights_CBJE: Tensor) -> Tensor:
    """Σ_e h_e w_e: [C,B,J,N]."""
    C, B, J, N, E = states_CBJNE.shape
    return torch.bmm(states_CBJNE.view(-1, N, E), weights_CBJE.view(-1, E, 1)).view(C, B, J, N)
