"""Attention among the tokens of a bucket, in the sorted and chunked form of Reformer.

Tokens are sorted by (bucket, position), so those of a bucket stand in a row, and a chunk of C of them looks at itself
and at the chunk before. Each hashing round does so by itself. The rounds are joined by their sums of exponentials; a
pair that N of them find is lowered by log N in each, so that it counts once.

What a token reaches is written as one number per token and a round, its code: a key is in reach where its code is at
most `reach` below the query's and not above it. Letters: see formulas; Y = B·H·R·n chunks, M = n·C places.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.layers.core.open_length import num_chunks

TO_ITSELF = 1e5  # taken off a token's score of itself, or what float16 has: it reads itself only without any other
FAR = 2**30  # the code of a place that no token has
EPSILON = 1e-6  # of a mean of squares, as in Trax


def to_itself(dtype: torch.dtype) -> float:
    """`TO_ITSELF`, or half of what a narrower dtype can hold."""
    return min(TO_ITSELF, torch.finfo(dtype).max / 2)


def hashed(q_BTHK: Tensor, rotations_HKE: Tensor, R: int) -> Tensor:
    """Buckets [B,H,R,T]: the nearest of the axes and their opposites after each of R random rotations."""
    B, T, H, K = q_BTHK.shape
    turned = torch.bmm(q_BTHK.detach().view(B * T, H, K).transpose(0, 1), rotations_HKE)
    turned = turned.view(H, B, T, R, rotations_HKE.shape[-1] // R)
    nearest_HBTR = torch.cat([turned, -turned], dim=-1).argmax(-1)
    return nearest_HBTR.permute(1, 0, 3, 2).clone(memory_format=torch.contiguous_format)


def normalised(q: Tensor) -> Tensor:
    """Queries as keys: of length 1."""
    return q * (q.square().sum(-1, keepdim=True) + EPSILON * q.shape[-1]).rsqrt()


def bucket_attention(
    q_BTHK: Tensor, v_BTHV: Tensor, buckets_BHRT: Tensor, *, C: int, aligned: bool, causal: bool, past: int = 0
) -> Tensor:
    """What the tokens after the first `past` read: [B,T−past,H,V]; T ≥ 1.

    Parameters
    ----------
    q_BTHK, v_BTHV
        Queries, which are the keys too, and values.
    buckets_BHRT
        Whole numbers; tokens of different ones do not see each other.
    C
        Tokens a chunk.
    aligned
        True: a token reaches itself and the C tokens of its bucket before it, which no later token changes.
        False: those of its bucket in its chunk and in the one before, as in the paper.
    causal
        Whether tokens after it are left out; those that `aligned` reaches are before it anyway.

    """
    B, T, H, K = q_BTHK.shape
    R, V, n = buckets_BHRT.shape[2], v_BTHV.shape[-1], num_chunks(T, C)
    filled = (C, n * C - T)  # a chunk before the first, and what the last one lacks

    in_order, order = buckets_BHRT.sort(dim=-1, stable=True)
    places = torch.arange(T, device=order.device)
    place = order.scatter(-1, order, places.expand_as(order))
    reach = C if aligned else 1
    code = in_order * (reach + 1) + (places if aligned else places.div(C, rounding_mode="floor"))
    codes = code.int().gather(-1, place)
    lowered_YCS = _lowered(codes, order, filled, C, reach, q_BTHK.dtype, causal=causal and not aligned)

    rows = F.pad(order * H + _first_rows(B, T, H, order.device), filled)
    own = rows[..., C:].clone(memory_format=torch.contiguous_format).view(-1)
    seen = rows.unfold(-1, 2 * C, C).clone(memory_format=torch.contiguous_format).view(-1)
    q_YCK = q_BTHK.view(B * T * H, K).index_select(0, own).view(-1, C, K)
    k_YSK = normalised(q_BTHK).view(B * T * H, K).index_select(0, seen).view(-1, 2 * C, K)
    v_YSV = v_BTHV.view(B * T * H, V).index_select(0, seen).view(-1, 2 * C, V)

    scores_YCS = torch.bmm(q_YCK, k_YSK.transpose(1, 2)) - lowered_YCS
    top_YC1 = scores_YCS.detach().amax(-1, keepdim=True)
    weights_YCS = (scores_YCS - top_YC1).exp()
    sums, tops = (x.view(B, H, R, n * C) for x in (weights_YCS.sum(-1), top_YC1))
    return _joined(torch.bmm(weights_YCS, v_YSV).view(-1, V), sums, tops, place[..., past:])


def _first_rows(B: int, T: int, H: int, device: torch.device) -> Tensor:
    """[B,H,1,1]: where the first token of each sequence and head stands among the B·T·H rows."""
    sequences = torch.arange(B, device=device) * (T * H)
    return (sequences.unsqueeze(1) + torch.arange(H, device=device)).view(B, H, 1, 1)


def _lowered(
    code_BHRT: Tensor,
    order_BHRT: Tensor,
    filled: tuple[int, int],
    C: int,
    reach: int,
    dtype: torch.dtype,
    *,
    causal: bool,
) -> Tensor:
    """What is taken off each score: log N, TO_ITSELF, or ∞ out of reach."""
    R = code_BHRT.shape[2]
    mine = count = None
    for shift in range(R):
        code = F.pad(code_BHRT.roll(-shift, 2).gather(-1, order_BHRT), filled, value=FAR)
        query = code[..., C:].unflatten(-1, (-1, C)).unsqueeze(-1)
        key = code.unfold(-1, 2 * C, C).unsqueeze(-2)
        near = (key <= query) & (key >= query - reach)
        mine = near if mine is None else mine
        count = near.to(torch.uint8) if count is None else count + near
    assert mine is not None
    assert count is not None
    before = torch.ones(2 * C, 2 * C, dtype=torch.bool, device=code_BHRT.device).tril()
    itself = before.triu()[C:]
    if causal:
        mine = mine & before[C:]
    lowered = count.to(dtype).log().masked_fill(itself, to_itself(dtype)).masked_fill(mine.logical_not(), torch.inf)
    return lowered.view(-1, C, 2 * C)


def _joined(read_XV: Tensor, sums_BHRM: Tensor, tops_BHRM: Tensor, place_BHRT: Tensor) -> Tensor:
    """The rounds' readings, back at their tokens, weighted by what each round's scores add up to: [B,T,H,V]."""
    B, H, R, T = place_BHRT.shape
    M, V = sums_BHRM.shape[-1], read_XV.shape[-1]
    tops = tops_BHRM.gather(-1, place_BHRT)
    scale = (tops - tops.amax(2, keepdim=True)).exp()
    total_BHT = (sums_BHRM.gather(-1, place_BHRT) * scale).sum(2)
    rounds = torch.arange(B * H * R, device=place_BHRT.device) * M
    rows = (place_BHRT + rounds.view(B, H, R, 1)).permute(0, 3, 1, 2)
    rows = rows.clone(memory_format=torch.contiguous_format).view(-1)
    read_BTHRV = read_XV.index_select(0, rows).view(B, T, H, R, V)
    return (read_BTHRV * scale.permute(0, 3, 1, 2).unsqueeze(-1)).sum(3) / total_BHT.permute(0, 2, 1).unsqueeze(-1)


def latest(buckets_BHRS: Tensor, C: int) -> Tensor:
    """One more than the positions [B,H,W] that the last of S tokens reaches, itself first; 0 where there are fewer.

    W is R·C + 1, or S where that is less; a token that several rounds find stands there once.
    """
    R, S = buckets_BHRS.shape[2:]
    alike = buckets_BHRS == buckets_BHRS[..., -1:]
    rank = alike.cumsum(-1)
    reached_BHS = (alike & (rank[..., -1:] - rank <= C)).any(2)
    positions = reached_BHS * torch.arange(1, S + 1, device=reached_BHS.device)
    return positions.topk(min(S, R * C + 1)).values


def read_latest(q_B1HK: Tensor, q_BSHK: Tensor, v_BSHV: Tensor, found_BHW: Tensor) -> Tensor:
    """What the last query [B,1,H,K] reads of the tokens `latest` found, among all S queries and values: [B,H·V]."""
    B, S, H, K = q_BSHK.shape
    V, W = v_BSHV.shape[-1], found_BHW.shape[-1]
    rows = (found_BHW - 1).clamp_min(0) * H + _first_rows(B, S, H, found_BHW.device).view(B, H, 1)
    k_XK = normalised(q_BSHK.view(B * S * H, K).index_select(0, rows.view(-1)))
    v_XV = v_BSHV.view(B * S * H, V).index_select(0, rows.view(-1))
    scores = torch.bmm(q_B1HK.view(B * H, 1, K), k_XK.view(B * H, W, K).transpose(1, 2))
    found = found_BHW.view(B * H, 1, W)
    scores = scores.masked_fill(found == 0, -torch.inf).masked_fill(found == S, -to_itself(scores.dtype))
    return torch.bmm(scores.softmax(-1), v_XV.view(B * H, W, V)).view(B, H * V)
