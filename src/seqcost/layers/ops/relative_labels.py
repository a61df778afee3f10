"""Scores of the label of a pair: the clipped distance, or what a structured input says. See formulas.

All labels are scored for each query in one product, then looked up pair by pair.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def distances(rows: int, columns: int, first: int, more: int, R: int, *, device: torch.device) -> Tensor:
    """Labels [rows, columns + more]: distance of a column from a row, clipped at R on either side, as 0 … 2R.

    Column 0 stands at `first`, row 0 at 0. The further columns have the label 2R + 1.
    """
    ends = torch.arange(first + R, first + R + columns, device=device), torch.arange(rows, device=device)
    return F.pad((ends[0] - ends[1][:, None]).clamp_(0, 2 * R), (0, more), value=2 * R + 1)


def label_scores(q_ZQK: Tensor, vectors_LHK: Tensor, biases_LH: Tensor) -> Tensor:
    """(q a + u)/√K for every label: q [B·H,Q,K], scaled already → [B·H,Q,L]."""
    L, H, K = vectors_LHK.shape
    B = q_ZQK.shape[0] // H
    a_BHKL = vectors_LHK.permute(1, 2, 0).expand(B, H, K, L).clone(memory_format=torch.contiguous_format)
    u_H1L = (biases_LH * K**-0.5).t().unsqueeze(1)
    return (torch.bmm(q_ZQK, a_BHKL.view(B * H, K, L)).view(B, H, q_ZQK.shape[1], L) + u_H1L).flatten(0, 1)


def labelled(scores_ZQL: Tensor, labels: Tensor, *shape: int) -> Tensor:
    """The score of each pair's label: `labels` is broadcast to `shape`, whose last axis is that of the keys."""
    return scores_ZQL.view(*shape[:-1], scores_ZQL.shape[-1]).gather(-1, labels.expand(shape))
