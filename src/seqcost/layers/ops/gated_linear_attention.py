"""Linear attention with a gate: one matrix per head that fades, takes in k vᵀ and is read by q.

    S_t = Diag(exp g_t) S_{t−1} + k_t v_tᵀ        y_t = S_tᵀ q_t

The gate is given as its logarithm g ≤ 0: None (nothing fades), one constant per head [H], one number per token and head
[B,T,H], or one per key feature [B,T,H,K]. Three forms give the same: `gated_linear_attention` works on chunks of C
tokens at once and carries S from chunk to chunk, `step` takes one token, `masked_attention` (ungated) looks at all T²
pairs.

Everything is computed in float32 at least, and no exponent is positive: a decay between two tokens is the exponential
of the sum of just the gates between them, never a ratio of exponentials nor of a difference of longer sums. So gates of
0, gates that shut and sequences of any length are safe. With one gate per key feature the pairs of a chunk share no
decay. Between sub-chunks of J tokens, queries fade from the start of their own sub-chunk on and keys up to it; within a
sub-chunk each pair has its own decay: the secondary chunking of Yang et al. 2023, arXiv 2312.06635, section 4.3.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.layers.core.full_precision import full_precision
from seqcost.layers.core.open_length import is_open
from seqcost.layers.ops.chunks import at_least_float32, carried, chunked, heads_first, joined, pair_decays
from seqcost.layers.ops.kernels import kernel_for


@dataclass(frozen=True)
class _Chunks:
    """Queries and keys [B·H,n,C,K], values [B·H,n,C,V] cut into chunks; B sequences of T tokens."""

    q_ZnCK: Tensor
    k_ZnCK: Tensor
    v_ZnCV: Tensor
    B: int
    H: int
    T: int


@dataclass(frozen=True)
class _Mixed:
    """What a kind of gate makes of the chunks; n stands behind B and H or alone, whichever broadcasts."""

    y_XCV: Tensor  # what each token reads of its own chunk, [B·H·n,C,V]
    q_ZnCK: Tensor  # queries, faded since the start of their chunk
    k_ZnCK: Tensor  # keys, fading to the end of their chunk
    keep: Tensor | None  # of the state [B,H,K,V], over each chunk: [1 or B,H,n,K or 1,1]; None: all of it


@full_precision
def gated_linear_attention(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    state_BHKV: Tensor,
    *,
    C: int,
    gate: Tensor | None = None,
    J: int = 0,
) -> tuple[Tensor, Tensor]:
    """y [B,T,H,V] and the state after T ≥ 0 tokens, in chunks of C; J divides C and is read by gates [B,T,H,K] only."""
    B, T, H, K = q_BTHK.shape
    V = v_BTHV.shape[-1]
    if T == 0:
        return at_least_float32(v_BTHV), state_BHKV
    by_feature = gate is not None and gate.dim() == 4
    engine = "gated_linear_attention" if by_feature else "linear_attention"
    if (kernel := kernel_for(engine, v_BTHV, k_BTHK, state_BHKV)) is not None:
        return kernel(q_BTHK, k_BTHK, v_BTHV, state_BHKV, gate)
    q, k, v = at_least_float32(q_BTHK), at_least_float32(k_BTHK), at_least_float32(v_BTHV)
    cut = _Chunks(chunked(q, C), chunked(k, C), chunked(v, C), B, H, T)
    n = cut.q_ZnCK.shape[1]
    mixed = _mixed(cut, gate, J)
    write = torch.bmm(mixed.k_ZnCK.view(B * H * n, C, K).transpose(1, 2), cut.v_ZnCV.view(B * H * n, C, V))
    pieces = (write.view(B, H, n, K, V), *(() if mixed.keep is None else (mixed.keep,)))
    before_BHnKV, state = carried(_after, pieces, state_BHKV, dim=2)
    y = torch.baddbmm(mixed.y_XCV, mixed.q_ZnCK.view(B * H * n, C, K), before_BHnKV.view(B * H * n, K, V))
    return joined(y.view(B * H, n, C, V), B, T, H), state


def _after(state: Tensor, new: Tensor, keep: Tensor | None = None) -> Tensor:
    return new + (state if keep is None else state * keep)


@full_precision
def gated_linear_attention_step(
    q_BHK: Tensor, k_BHK: Tensor, v_BHV: Tensor, state_BHKV: Tensor, gate: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """y [B,H,V] and the state after one token; the gate is [H], [B,H] or [B,H,K]."""
    q, k, v = at_least_float32(q_BHK), at_least_float32(k_BHK), at_least_float32(v_BHV)
    B, H, K = q.shape
    V = v.shape[-1]
    state = state_BHKV
    if gate is not None:
        decay = at_least_float32(gate).exp()
        state = state * (decay.unsqueeze(-1) if gate.dim() == 3 else decay[..., None, None])
    # Views; copies only of what a caller cut out of a longer sequence.
    q_Z1K, k_ZK1, v_Z1V = q.reshape(B * H, 1, K), k.reshape(B * H, K, 1), v.reshape(B * H, 1, V)
    state_ZKV = torch.baddbmm(state.view(B * H, K, V), k_ZK1, v_Z1V)
    y = torch.bmm(q_Z1K, state_ZKV)
    return y.view(B, H, V), state_ZKV.view(B, H, K, V)


@full_precision
def masked_attention(
    q_BTHK: Tensor, k_BTHK: Tensor, v_BTHV: Tensor, state_BHKV: Tensor | None = None
) -> tuple[Tensor, Tensor | None]:
    """(q kᵀ ⊙ M) v over all T² pairs, M lower triangular, and what a carried state adds; without one none returns."""
    q, k, v = (heads_first(at_least_float32(x)) for x in (q_BTHK, k_BTHK, v_BTHV))
    B, H, T, K = q.shape
    q_ZTK, k_ZTK, v_ZTV = q.view(B * H, T, K), k.view(B * H, T, K), v.view(B * H, T, v.shape[-1])
    y = torch.bmm(torch.bmm(q_ZTK, k_ZTK.transpose(1, 2)).tril(), v_ZTV)
    state = None
    if state_BHKV is not None:
        before = state_BHKV.view(B * H, K, v.shape[-1])
        y = torch.baddbmm(y, q_ZTK, before)
        state = torch.baddbmm(before, k_ZTK.transpose(1, 2), v_ZTV).view(state_BHKV.shape)
    return tokens_first(y, B, H), state


@full_precision
def summed_attention(q_BTHK: Tensor, k_BTHK: Tensor, v_BTHV: Tensor) -> Tensor:
    """Qᵀ Σ k vᵀ over the whole sequence, later tokens included: one matrix per head that every token reads."""
    q, k, v = (heads_first(at_least_float32(x)) for x in (q_BTHK, k_BTHK, v_BTHV))
    B, H, T, K = q.shape
    all_ZKV = torch.bmm(k.view(B * H, T, K).transpose(1, 2), v.view(B * H, T, v.shape[-1]))
    return tokens_first(torch.bmm(q.view(B * H, T, K), all_ZKV), B, H)


def tokens_first(y_ZTV: Tensor, B: int, H: int) -> Tensor:
    """[B·H,T,V] → [B,T,H,V]: always a copy."""
    _, T, V = y_ZTV.shape
    return y_ZTV.view(B, H, T, V).transpose(1, 2).clone(memory_format=torch.contiguous_format)


# --- what the kinds of gate make of the chunks ------------------------------------------------------------------------


def _mixed(cut: _Chunks, gate: Tensor | None, J: int) -> _Mixed:
    if gate is None:
        return _ungated(cut)
    gate = at_least_float32(gate)
    if gate.dim() == 1:
        return _constant(cut, gate)
    return _by_token(cut, gate) if gate.dim() == 3 else _by_feature(cut, gate, J)


def _scores(cut: _Chunks) -> Tensor:
    """q kᵀ within each chunk [B·H·n,C,C]."""
    Z, n, C, K = cut.q_ZnCK.shape
    return torch.bmm(cut.q_ZnCK.view(Z * n, C, K), cut.k_ZnCK.view(Z * n, C, K).transpose(1, 2))


def _read(cut: _Chunks, pairs: Tensor) -> Tensor:
    Z, n, C, V = cut.v_ZnCV.shape
    return torch.bmm(pairs.view(Z * n, C, C), cut.v_ZnCV.view(Z * n, C, V))


def _ungated(cut: _Chunks) -> _Mixed:
    return _Mixed(_read(cut, _scores(cut).tril()), cut.q_ZnCK, cut.k_ZnCK, None)


def _constant(cut: _Chunks, gate_H: Tensor) -> _Mixed:
    """Tables that all sequences share: distances within a chunk, tokens since its start."""
    Z, n, C, K = cut.q_ZnCK.shape
    H = gate_H.shape[0]
    at_C = torch.arange(C, dtype=gate_H.dtype, device=gate_H.device)
    apart_CC = (at_C[:, None] - at_C).clamp(min=0)
    pairs_HCC = (gate_H[:, None, None] * apart_CC).exp().tril()
    left_n1 = _left(cut.T, n, C, like=gate_H)[:, None]
    since_nC = torch.minimum(at_C + 1, left_n1)  # what fills up the last chunk fades nothing
    faded_HnC = gate_H[:, None, None] * since_nC
    end_Hn1 = faded_HnC[..., -1:]
    by_head = (cut.B, H, n, C)
    pairs = _scores(cut).view(*by_head, C) * pairs_HCC.unsqueeze(1)
    q = cut.q_ZnCK.view(*by_head, K) * faded_HnC.exp().unsqueeze(-1)
    k = cut.k_ZnCK.view(*by_head, K) * (end_Hn1 - faded_HnC).exp().unsqueeze(-1)
    keep = end_Hn1.exp().view(1, H, n, 1, 1)
    return _Mixed(_read(cut, pairs), q.view(Z, n, C, K), k.view(Z, n, C, K), keep)


def _left(T: int, n: int, C: int, like: Tensor) -> Tensor:
    """How many tokens are left at the start of each of n chunks."""
    if is_open(T):
        return (T - C * torch.arange(n, dtype=like.dtype, device=like.device)).clamp_min(0)
    return torch.arange(T, 0, -C, dtype=like.dtype, device=like.device)


def _by_token(cut: _Chunks, gate_BTH: Tensor) -> _Mixed:
    Z, n, C, _ = cut.q_ZnCK.shape
    log_ZnC1 = chunked(gate_BTH.unsqueeze(-1), C)
    decay_ZnCC = pair_decays(log_ZnC1)  # the earlier token of a pair in the row
    start_ZnC1 = log_ZnC1.cumsum(2).exp()
    return _Mixed(
        _read(cut, _scores(cut).view(Z, n, C, C) * decay_ZnCC.transpose(2, 3)),
        cut.q_ZnCK * start_ZnC1,
        cut.k_ZnCK * decay_ZnCC[..., -1:],
        start_ZnC1[:, :, -1:].view(cut.B, cut.H, n, 1, 1),
    )


def _by_feature(cut: _Chunks, gate_BTHK: Tensor, J: int) -> _Mixed:
    """Sub-chunk i reads the tokens before it, all faded to its start, and its own tokens pair by pair."""
    Z, n, C, K = cut.q_ZnCK.shape
    V, m = cut.v_ZnCV.shape[-1], C // J
    gate_ZnCK = chunked(gate_BTHK, C)
    gate_ZnmJK = gate_ZnCK.view(Z, n, m, J, K)
    faded_ZnCK, since_ZnmJK = gate_ZnCK.cumsum(2), gate_ZnmJK.cumsum(3)
    between_ZnmJJK = _sums(gate_ZnmJK, J, after=1)
    rest_ZnmJK = between_ZnmJJK[:, :, :, -1]  # from each token to the end of its sub-chunk
    # Over whole sub-chunks, from the end of one (second m) to the start of another, or of the next chunk (last row).
    over_ZnmmK = _sums(F.pad(since_ZnmJK[:, :, :, -1], (0, 0, 1, 0)), m, after=2)

    to_start_ZnmmJK = over_ZnmmK[:, :, :m].unsqueeze(4) + rest_ZnmJK.unsqueeze(2)
    not_before_mC1 = torch.ones(C, C, dtype=torch.bool, device=gate_BTHK.device).triu()[::J].unsqueeze(-1)
    key_decay_ZnmCK = to_start_ZnmmJK.view(Z, n, m, C, K).masked_fill(not_before_mC1, -torch.inf).exp()
    keys_ZnmCK = cut.k_ZnCK.unsqueeze(2) * key_decay_ZnmCK
    queries_ZnmJK = cut.q_ZnCK.view(Z, n, m, J, K) * since_ZnmJK.exp()
    earlier = torch.bmm(queries_ZnmJK.view(-1, J, K), keys_ZnmCK.view(-1, C, K).transpose(1, 2))
    y = _read(cut, earlier)

    keys_ZnmJJK = cut.k_ZnCK.view(Z, n, m, 1, J, K) * between_ZnmJJK.exp()
    own = torch.bmm(keys_ZnmJJK.view(-1, J, K), cut.q_ZnCK.view(-1, K, 1)).view(-1, J, J).tril()
    y = torch.baddbmm(y.view(-1, J, V), own, cut.v_ZnCV.view(-1, J, V))
    to_end_ZnmJK = over_ZnmmK[:, :, m].unsqueeze(3) + rest_ZnmJK
    return _Mixed(
        y.view(Z * n, C, V),
        cut.q_ZnCK * faded_ZnCK.exp(),
        cut.k_ZnCK * to_end_ZnmJK.exp().view(Z, n, C, K),
        faded_ZnCK[:, :, -1:].exp().view(cut.B, cut.H, n, K, 1),
    )


def _sums(x_XLK: Tensor, columns: int, *, after: int) -> Tensor:
    """[...,L,columns,K]: in row i and column j the sum of rows j + `after` … i, made of its own terms; 0 of none."""
    L, K = x_XLK.shape[-2:]
    outside = torch.ones(L, columns, dtype=torch.bool, device=x_XLK.device).triu(1 - after).unsqueeze(-1)
    return x_XLK.unsqueeze(-2).expand(*x_XLK.shape[:-1], columns, K).masked_fill(outside, 0).cumsum(-3)
