"""The delta rule, with or without a decay: chunks in parallel, the state from chunk to chunk; and a single token.

    S_t = a_t (I − b_t k_t k_tᵀ) S_{t−1} + b_t k_t v_tᵀ,    y_t = S_tᵀ q_t

The state S [K,V] holds for each key the value written under it: it decays by a_t, then what stands under k_t moves by
b_t towards v_t. Within a chunk the new values U solve (I + L) U = b ⊙ (V − decayed K S), where L is the strictly lower
part of b ⊙ K Kᵀ ⊙ decay: the WY form of Yang et al. 2024, arXiv 2406.06484, section 3.2; with the decay arXiv
2412.06464, section 3.3. Letters: Z = B·H sequences of heads, n chunks of C tokens.
"""

import torch
from torch import Tensor

from seqcost.layers.core.full_precision import full_precision
from seqcost.layers.core.open_length import Tensors, Turn, num_chunks, walk
from seqcost.layers.ops.chunks import at_least_float32, chunked, joined, pair_decays
from seqcost.layers.ops.kernels import kernel_for


@full_precision
def delta_rule(
    q_BTHK: Tensor,
    k_BTHK: Tensor,
    v_BTHV: Tensor,
    beta_BTH: Tensor,
    log_decay_BTH: Tensor | None,
    state_BHKV: Tensor,
    C: int,
) -> tuple[Tensor, Tensor]:
    """T ≥ 0 tokens in chunks of C: y [B,T,H,V] and the state after them, both in float32 at least.

    Stable where 0 ≤ b·|k|² < 2 and log a ≤ 0; exp never sees a number above 0.
    """
    B, T, H, K = q_BTHK.shape
    V, Z, n = v_BTHV.shape[-1], B * H, num_chunks(T, C)
    if T == 0:
        return at_least_float32(v_BTHV), state_BHKV
    engine = "delta_rule" if log_decay_BTH is None else "gated_delta_rule"
    if (kernel := kernel_for(engine, v_BTHV, k_BTHK, state_BHKV)) is not None:
        decay = () if log_decay_BTH is None else (log_decay_BTH,)
        return kernel(q_BTHK, k_BTHK, v_BTHV, beta_BTH, *decay, state_BHKV)
    q_ZnCK, k_ZnCK, v_ZnCV = (chunked(at_least_float32(x), C) for x in (q_BTHK, k_BTHK, v_BTHV))
    beta_ZnC1 = chunked(at_least_float32(beta_BTH).unsqueeze(-1), C)
    # Pairs of tokens stand with the later one in the columns: as the solver wants them, and with each column's decay
    # summed up along the rows of memory.
    k_flat = k_ZnCK.view(Z * n, C, K)
    overlap_ZnCC = torch.bmm(k_flat, k_flat.transpose(1, 2)).view(Z, n, C, C)
    scores_ZnCC = torch.bmm(k_flat, q_ZnCK.view(Z * n, C, K).transpose(1, 2)).view(Z, n, C, C)
    read_ZnC1 = -beta_ZnC1  # how much of what the state says at the chunk's start is taken back
    if log_decay_BTH is None:
        scores_ZnCC, to_end_ZnC1, end_Zn11 = scores_ZnCC.triu(), None, None
    else:
        log_ZnC1 = chunked(at_least_float32(log_decay_BTH).unsqueeze(-1), C)
        decay_ZnCC = pair_decays(log_ZnC1)
        overlap_ZnCC, scores_ZnCC = overlap_ZnCC * decay_ZnCC, scores_ZnCC * decay_ZnCC
        start_ZnC1, to_end_ZnC1 = log_ZnC1.cumsum(2).exp(), decay_ZnCC[..., -1:]
        read_ZnC1, q_ZnCK = read_ZnC1 * start_ZnC1, q_ZnCK * start_ZnC1
        end_Zn11 = start_ZnC1[:, :, -1:]
    system_ZnCC = overlap_ZnCC * beta_ZnC1.transpose(2, 3)
    sides_ZnCE = torch.cat([v_ZnCV * beta_ZnC1, k_ZnCK * read_ZnC1], dim=-1)
    # X with (I + L) X = sides, turned round; the solver reads nothing but what is above the diagonal. On the other
    # side, or not turned round, it is several times slower.
    solved_ZEC = torch.linalg.solve_triangular(
        system_ZnCC.view(Z * n, C, C), sides_ZnCE.view(Z * n, C, V + K).mT, upper=True, left=False, unitriangular=True
    )
    values_ZnCV, reads_ZnCK = solved_ZEC.mT.view(Z, n, C, V + K).split([V, K], dim=-1)
    if to_end_ZnC1 is not None:
        k_ZnCK = k_ZnCK * to_end_ZnC1

    pieces = (q_ZnCK, k_ZnCK, values_ZnCV, reads_ZnCK, scores_ZnCC, *(() if end_Zn11 is None else (end_Zn11,)))
    (S_ZKV,), (y_ZnCV,) = walk(_chunk, (state_BHKV.reshape(Z, K, V),), pieces, dim=1)
    return joined(y_ZnCV, B, T, H), S_ZKV.view(B, H, K, V)


def _chunk(state: Tensors, chunk: Tensors) -> Turn:
    """What a chunk reads and writes, once its own part of the system is solved."""
    (S_ZKV,), (q_ZCK, k_ZCK, values_ZCV, reads_ZCK, scores_ZCC, *end_Z11) = state, chunk
    new_ZCV = torch.baddbmm(values_ZCV, reads_ZCK, S_ZKV)
    y_ZCV = torch.baddbmm(torch.bmm(q_ZCK, S_ZKV), scores_ZCC.transpose(1, 2), new_ZCV)
    kept_ZKV = S_ZKV * end_Z11[0] if end_Z11 else S_ZKV
    return (torch.baddbmm(kept_ZKV, k_ZCK.transpose(1, 2), new_ZCV),), (y_ZCV,)


@full_precision
def delta_rule_step(
    q_BHK: Tensor, k_BHK: Tensor, v_BHV: Tensor, beta_BH: Tensor, log_decay_BH: Tensor | None, state_BHKV: Tensor
) -> tuple[Tensor, Tensor]:
    """One token: y [B,H,V] and the next state."""
    B, H, K, V = state_BHKV.shape
    q, k, v, beta = (at_least_float32(x) for x in (q_BHK, k_BHK, v_BHV, beta_BH))
    if log_decay_BH is not None:
        state_BHKV = state_BHKV * at_least_float32(log_decay_BH).exp()[..., None, None]
    S_ZKV = state_BHKV.reshape(B * H, K, V)
    said_BHV = torch.bmm(k.reshape(B * H, 1, K), S_ZKV).view(B, H, V)
    new_BHV = (v - said_BHV) * beta.unsqueeze(-1)
    S_ZKV = torch.baddbmm(S_ZKV, k.reshape(B * H, K, 1), new_BHV.view(B * H, 1, V))
    return torch.bmm(q.reshape(B * H, 1, K), S_ZKV).view(B, H, V), S_ZKV.view(B, H, K, V)
