"""State-space duality (SSD), the recurrence of Mamba-2: one decay per head, so that chunks are matrix products.

    S_t = exp(g_t) S_{t−1} + x_t B_tᵀ        y_t = S_t C_t

`ssd_step` is one token, `sequential_ssd` a loop of them, `chunked_ssd` the form that trains. All carry the state
[B,H,V,N]. G groups of heads share the vectors B_t (`write`) and C_t (`read`). Everything is float32 or float64: the
caller casts. Letters: see formulas; a group holds H/G heads.

No exponent is positive and none is a difference of sums: a decay from one token to another is the exponential of the
sum of just the gates between them (the "segsum" of Dao & Gu 2024, listing 1), so long chunks lose no digits.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.layers.core.full_precision import full_precision
from seqcost.layers.core.open_length import Tensors, Turn, cut, num_chunks, walk
from seqcost.layers.ops.chunks import carried
from seqcost.layers.ops.kernels import kernel_for


@full_precision
def ssd_step(
    x_BHV: Tensor, gate_BH: Tensor, write_BGN: Tensor, read_BGN: Tensor, state_BHVN: Tensor
) -> tuple[Tensor, Tensor]:
    """One token; `gate_BH` is g, the logarithm of the decay."""
    B, H, V, N = state_BHVN.shape
    G = write_BGN.shape[1]
    rows = H // G * V
    written_BHVN = (x_BHV.view(B, G, rows, 1) * write_BGN.unsqueeze(2)).view(B, H, V, N)
    state_BHVN = gate_BH.exp()[..., None, None] * state_BHVN + written_BHVN
    # Always a copy, where a view would do too: the cost is then a formula without exceptions.
    read_ZN1 = read_BGN.clone(memory_format=torch.contiguous_format).view(B * G, N, 1)
    return torch.bmm(state_BHVN.view(B * G, rows, N), read_ZN1).view(B, H, V), state_BHVN


@full_precision
def sequential_ssd(
    x_BTHV: Tensor, gate_BTH: Tensor, write_BTGN: Tensor, read_BTGN: Tensor, state_BHVN: Tensor
) -> tuple[Tensor, Tensor]:
    """Token after token, T ≥ 0."""
    if x_BTHV.shape[1] == 0:
        return x_BTHV, state_BHVN

    def token(state: Tensors, signals: Tensors) -> Turn:
        y_BHV, after_BHVN = ssd_step(*signals, *state)
        return (after_BHVN,), (y_BHV,)

    (state_BHVN,), (y_BTHV,) = walk(token, (state_BHVN,), (x_BTHV, gate_BTH, write_BTGN, read_BTGN), dim=1)
    return y_BTHV, state_BHVN


@full_precision
def chunked_ssd(
    x_BTHV: Tensor, gate_BTH: Tensor, write_BTGN: Tensor, read_BTGN: Tensor, state_BHVN: Tensor, *, C: int
) -> tuple[Tensor, Tensor]:
    """Chunks of C tokens, T ≥ 0; the tokens of a chunk lie along the last axis."""
    B, T, H, V = x_BTHV.shape
    if T == 0:
        return x_BTHV, state_BHVN
    if (kernel := kernel_for("ssd", x_BTHV, write_BTGN, state_BHVN)) is not None:
        return kernel(x_BTHV, gate_BTH, write_BTGN, read_BTGN, state_BHVN)
    G, N = write_BTGN.shape[2:]
    n, rows = num_chunks(T, C), H // G * V
    x_ZXC = _tokens_last(x_BTHV.flatten(2), C).view(B * n * G, rows, C)
    gate_BnHC = _tokens_last(gate_BTH, C).view(B, n, H, C)
    write_ZCN, read_ZCN = (_groups_first(z, C) for z in (write_BTGN, read_BTGN))

    # From token s (rows) to token t (columns), t ≥ s.
    between_BnHCC = gate_BnHC.unsqueeze(3).expand(B, n, H, C, C).triu(1).cumsum(-1).exp()
    scores_ZCC = torch.bmm(write_ZCN, read_ZCN.transpose(1, 2)).triu()
    weights = scores_ZCC.unsqueeze(1) * between_BnHCC.view(B * n * G, H // G, C, C)
    y_QVC = torch.bmm(x_ZXC.view(B * n * H, V, C), weights.view(B * n * H, C, C))

    # What each chunk writes, carried from chunk to chunk.
    to_end_BnH1C = between_BnHCC[..., -1].unsqueeze(3)
    kept_BnHVC = x_ZXC.view(B, n, H, V, C) * to_end_BnH1C
    written_BnHVN = torch.bmm(kept_BnHVC.view(B * n * G, rows, C), write_ZCN).view(B, n, H, V, N)
    from_start_BnHC = gate_BnHC.cumsum(-1).exp()
    before_BnHVN, state_BHVN = carried(_after, (written_BnHVN, from_start_BnHC[..., -1]), state_BHVN, dim=1)
    starts_ZXN = before_BnHVN.view(B * n * G, rows, N)
    past_BnHVC = torch.bmm(starts_ZXN, read_ZCN.transpose(1, 2)).view(B, n, H, V, C)
    y_BnHVC = y_QVC.view(B, n, H, V, C) + past_BnHVC * from_start_BnHC.unsqueeze(3)
    y_BnCX = y_BnHVC.view(B, n, H * V, C).transpose(2, 3).clone(memory_format=torch.contiguous_format)
    return cut(y_BnCX.view(B, n * C, H, V), T), state_BHVN


def _after(state_BHVN: Tensor, written_BHVN: Tensor, through_BH: Tensor) -> Tensor:
    return through_BH[..., None, None] * state_BHVN + written_BHVN


def _tokens_last(z_BTX: Tensor, C: int) -> Tensor:
    """[B,T,X] → [B·n,X,C], the last chunk filled up with zeros: they neither decay nor write."""
    B, T, X = z_BTX.shape
    n = num_chunks(T, C)
    filled = F.pad(z_BTX, (0, 0, 0, n * C - T)).view(B, n, C, X).flatten(0, 1)
    return filled.transpose(1, 2).clone(memory_format=torch.contiguous_format)


def _groups_first(z_BTGN: Tensor, C: int) -> Tensor:
    """[B,T,G,N] → [B·n·G, C, N]."""
    B, T, G, N = z_BTGN.shape
    n = num_chunks(T, C)
    filled = F.pad(z_BTGN, (0, 0, 0, 0, 0, n * C - T)).view(B, n, C, G, N)
    return filled.transpose(2, 3).clone(memory_format=torch.contiguous_format).view(B * n * G, C, N)
