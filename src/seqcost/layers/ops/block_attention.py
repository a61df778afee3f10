"""Attention in blocks: blocks of C queries, each beside the key blocks that it may see; masks exact, any length.

Twin of `formulas.ops.block_attention`. B batch · T queries · S keys · H heads · G key/value heads · K head width ·
C queries a block · n blocks · d dilation. A sequence with dilation d is d interleaved sequences; as heads of the fused
kernel stand (interleaved sequence, block, query head of a group).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.formulas.ops.block_attention import Band
from seqcost.layers.core.open_length import is_open, num_chunks
from seqcost.layers.ops.chunks import heads_first
from seqcost.layers.ops.masks import hidden


def band_attention(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGK: Tensor, band: Band, keep_BS: Tensor | None = None) -> Tensor:
    """softmax(q kᵀ/√K) v over the window of each of the last T of S tokens: [B,T,H·K]."""
    B, T, H, _ = q_BTHK.shape
    S, G = k_BSGK.shape[1:3]
    mask = band_mask(band, T, S, H // G, like=q_BTHK, keep_BS=keep_BS)
    if keep_BS is not None:
        mask = mask.repeat_interleave(G, 0)
    y_ZhCK = F.scaled_dot_product_attention(
        band_queries(q_BTHK, band, G),
        band_keys(k_BSGK, band, T),
        band_keys(v_BSGK, band, T),
        attn_mask=mask,
        enable_gqa=G != H,
    )
    return band_tokens(y_ZhCK, band, B, T, G)


def whole_blocks(x_BTD: Tensor, keep: Tensor | None, band: Band) -> tuple[Tensor, Tensor]:
    """Tokens and their mask filled up to whole blocks: the sizes of blocks are then plain where T is open."""
    B, T, _ = x_BTD.shape
    size = band.C * band.dilation
    fill = num_chunks(T, size) * size - T
    keep = torch.ones(B, T, dtype=torch.bool, device=x_BTD.device) if keep is None else keep
    return F.pad(x_BTD, (0, 0, 0, fill)), F.pad(keep, (0, fill))


def band_queries(q_BTHK: Tensor, band: Band, G: int) -> Tensor:
    """[B,T,H,K] → [B·G, d·n·H/G, C, K]."""
    B, T, H, K = q_BTHK.shape
    n, C, d = band.blocks(T), band.C, band.dilation
    filled = F.pad(q_BTHK, (0, 0, 0, 0, 0, n * C * d - T)).view(B, n, C, d, G, H // G, K)
    return _copied(filled.permute(0, 4, 3, 1, 5, 2, 6)).view(B * G, d * n * (H // G), C, K)


def band_keys(x_BSGK: Tensor, band: Band, T: int, *, copied: bool = False) -> Tensor:
    """[B,S,G,K] → [B·G, d·n, keys, K]: what each block of the last T tokens sees, overlapping in memory if d = 1."""
    B, S, G, K = x_BSGK.shape
    if is_open(T):  # heads beside the batch first, while the number of tokens is a plain symbol
        filled_ZUK = F.pad(heads_first(x_BSGK).flatten(0, 1), (0, 0, *_filling(band, T, S)))
    else:
        filled = F.pad(x_BSGK.transpose(1, 2), (0, 0, *_filling(band, T, S)))
        filled_ZUK = filled.view(B * G, filled.shape[2], K)
    windows = _windows(filled_ZUK, band).transpose(-1, -2)  # [B·G, d, n, keys, K]
    return (_copied(windows) if copied or band.dilated else windows).flatten(1, 2)


def key_mask(S: int, keep_BS: Tensor | None, like: Tensor) -> Tensor:
    """[1 or B, S]: 0, and `hidden` for padding."""
    mask = torch.zeros(1 if keep_BS is None else keep_BS.shape[0], S, dtype=like.dtype, device=like.device)
    return mask if keep_BS is None else mask.masked_fill_(~keep_BS, hidden(like.dtype))


def band_mask(band: Band, T: int, S: int, group: int = 1, *, like: Tensor, keep_BS: Tensor | None = None) -> Tensor:
    """[1 or B, d·n·group, C, keys]: 0 in the window, `hidden` elsewhere."""
    least = hidden(like.dtype)
    filled = F.pad(key_mask(S, keep_BS, like), _filling(band, T, S), value=least)
    valid = _copied(_windows(filled.unsqueeze(-1), band).squeeze(-2))  # [1 or B, d, n, keys]
    before, after = band.reach, (1 if band.causal else band.reach)  # the first distance that is out of sight
    own, outside = band.side * band.C, torch.full((band.C, band.keys), least, dtype=like.dtype, device=like.device)
    inside = torch.minimum(outside.triu(own + after), outside.tril_(own - before)).expand(group, -1, -1)
    return torch.minimum(inside, valid[:, :, :, None, None]).flatten(1, 3)


def band_tokens(y_ZhCK: Tensor, band: Band, B: int, T: int, G: int) -> Tensor:
    """[B·G, d·n·H/G, C, K] → [B,T,H·K]."""
    n, d = band.blocks(T), band.dilation
    heads, C, K = y_ZhCK.shape[1:]
    parts = y_ZhCK.view(B, G, d, n, heads // (d * n), C, K)
    merged = _copied(parts.permute(0, 3, 5, 2, 1, 4, 6)).view(B, n * C * d, G * heads // (d * n) * K)
    return _copied(merged.narrow(1, 0, T))


def _filling(band: Band, T: int, S: int) -> tuple[int, int]:
    """Zeros before and after S tokens, so that the blocks of the last T begin at a block."""
    before = band.side * band.C * band.dilation - (S - T)
    return before, band.filled(T) - before - S


def _windows(x_ZUK: Tensor, band: Band) -> Tensor:
    """[Z,U,K] → [Z, d, n, K, keys], a view (of a copy where U is open)."""
    Z, U, K = x_ZUK.shape
    if is_open(U):
        apart = torch.stack([x_ZUK[:, first :: band.dilation] for first in range(band.dilation)], dim=1)
    else:
        apart = x_ZUK.view(Z, U // band.dilation, band.dilation, K).transpose(1, 2)
    return apart.unfold(2, band.keys, band.C)


def _copied(x: Tensor) -> Tensor:
    # Always a copy, so that its cost has no exceptions.
    return x.clone(memory_format=torch.contiguous_format)


def planned_attention(q_BHnCK: Tensor, k_BHmCK: Tensor, v_BHmCK: Tensor, masked_BmC: Tensor, at: Tensor) -> Tensor:
    """softmax(q kᵀ/√K + mask) v over the key blocks that a plan names for each block of queries: [B,H·n,C,K].

    `at` [H·n·slots] holds numbers of blocks, head · m + block; `masked` [B or 1, m, C] is what is added to the scores.
    """
    B, H, n, C, K = q_BHnCK.shape
    m, slots = k_BHmCK.shape[2], at.shape[0] // (H * n)

    def gathered(x_BHmCK: Tensor) -> Tensor:
        return x_BHmCK.view(B, H * m, C, K).index_select(1, at).view(B, H * n, slots * C, K)

    mask = masked_BmC.index_select(1, at.remainder(m)).view(masked_BmC.shape[0], H * n, 1, slots * C)
    return F.scaled_dot_product_attention(
        _copied(q_BHnCK).view(B, H * n, C, K), gathered(k_BHmCK), gathered(v_BHmCK), attn_mask=mask
    )
