"""Softmax over a growing prefix, o_t = Σ_{i≤t} e^{s_i} v_i / Σ_{i≤t} e^{s_i}, by a scan of (m, u, w).

m_t = max_{i≤t} s_i,   u_t = e^{m_{t−1} − m_t} u_{t−1} + e^{s_t − m_t},   w_t likewise with v_t,   o_t = w_t / u_t

The maxima are those of the prefix at every single position, so that no exponent is positive wherever the scores jump;
u and w, side by side, are then a diagonal linear recurrence. No gradient flows through m, on which o does not depend.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.layers.ops.scan import linear_scan


def prefix_attention(
    s_BTH: Tensor, v_BTHV: Tensor, m_BH: Tensor, wu_BHV1: Tensor, C: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Results o [B,T,H,V], and m [B,H] and w beside u [B,H,V+1] after T ≥ 0 tokens; m starts at −∞, w and u at 0."""
    if s_BTH.shape[1] == 0:
        return v_BTHV, m_BH, wu_BHV1
    m_BPH = torch.cat([m_BH.unsqueeze(1), s_BTH.detach()], dim=1).cummax(1).values
    before_BTH, now_BTH = m_BPH[:, :-1], m_BPH[:, 1:]
    decay_BTH1 = (before_BTH - now_BTH).exp().unsqueeze(-1)
    weight_BTH1 = (s_BTH - now_BTH).exp().unsqueeze(-1)
    wu_BTHV1, wu_BHV1 = linear_scan(decay_BTH1, weight_BTH1 * _beside_one(v_BTHV), wu_BHV1, C)
    return _divided(wu_BTHV1), m_BPH[:, -1].clone(memory_format=torch.contiguous_format), wu_BHV1


def prefix_attention_step(s_BH: Tensor, v_BHV: Tensor, m_BH: Tensor, wu_BHV1: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One token: o [B,H,V], and m, w and u after it."""
    now_BH = torch.maximum(m_BH, s_BH.detach())
    decay_BH1, weight_BH1 = (m_BH - now_BH).exp().unsqueeze(-1), (s_BH - now_BH).exp().unsqueeze(-1)
    wu_BHV1 = torch.addcmul(weight_BH1 * _beside_one(v_BHV), decay_BH1, wu_BHV1)
    return _divided(wu_BHV1), now_BH, wu_BHV1


def _beside_one(v: Tensor) -> Tensor:
    return F.pad(v, (0, 1), value=1.0)


def _divided(wu: Tensor) -> Tensor:
    w, u = wu.split([wu.shape[-1] - 1, 1], dim=-1)
    return w / u
