"""The diagonal linear recurrence h_t = a_t ⊙ h_{t−1} + b_t, in two levels: C tokens inside a chunk, then the chunks.

First all chunks at once find what they keep of a state (∏ a) and what they add to it, C operators in turn; then a loop
over the n chunks carries the state from one to the next; then all chunks at once run the recurrence from the state
before them, C operators again. Nothing is divided and no logarithm is taken, so a_t may be 0 and b_t of either sign,
and the rounding is of the order of the plain loop's: scans in log-space (Heinsen 2023, arXiv 2311.06281) lose accuracy
in proportion to T, ratios of running products overflow.

The backward pass is the same recurrence from the other end, so that a and h are all that is kept:

    G_t = g_t + a_{t+1} ⊙ G_{t+1},   db_t = G_t,   da_t = G_t ⊙ h_{t−1},   dh_0 = a_1 ⊙ G_1
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.layers.core.open_length import cut, is_open, num_chunks
from seqcost.layers.ops.chunks import carried, states


def linear_scan(a_BTN: Tensor, b_BTN: Tensor, initial_state_BN: Tensor, C: int) -> tuple[Tensor, Tensor]:
    """All states h [B,T,N] and the last one [B,N].

    There may be several axes in N's place; a may be 1 wide where b is wider. T ≥ 0, C ≥ 2; the result does not depend
    on C beyond rounding.
    """
    B, T = b_BTN.shape[:2]
    if T == 0:
        return b_BTN, initial_state_BN
    n = num_chunks(T, C)

    def chunks(x_BTN: Tensor, fill: float) -> Tensor:
        filled = F.pad(x_BTN, (0, 0) * (x_BTN.dim() - 2) + (0, n * C - T), value=fill)
        return filled.view(B, n, C, *x_BTN.shape[2:])

    # What is filled up changes nothing: h = 1·h + 0.
    scan = _Scan.forward if is_open(T) else _Scan.apply
    h_BnCN, final_BN = scan(chunks(a_BTN, 1.0), chunks(b_BTN, 0.0), initial_state_BN)
    h_BTN = cut(h_BnCN.flatten(1, 2), T)
    return h_BTN.clone(memory_format=torch.contiguous_format), final_BN


def wide_start(value: float, *shape: int, like: Tensor) -> Tensor:
    """What a scan begins with, on the device of a weight, in float32 at least."""
    return torch.full(shape, value, dtype=torch.promote_types(like.dtype, torch.float32), device=like.device)


class _Scan(torch.autograd.Function):
    """Over whole chunks: a, b [B,n,C,N] and h_0 [B,N] → h [B,n,C,N] and h_T [B,N]."""

    generate_vmap_rule = True

    @staticmethod
    def forward(a_BnCN: Tensor, b_BnCN: Tensor, start_BN: Tensor) -> tuple[Tensor, Tensor]:
        a, b = a_BnCN.unbind(2), b_BnCN.unbind(2)
        keep_BnN, add_BnN = a[0], b[0]
        for a_c, b_c in zip(a[1:], b[1:], strict=True):
            keep_BnN = keep_BnN * a_c
            add_BnN = torch.addcmul(b_c, a_c, add_BnN)
        before_BnN, final_BN = carried(_after, (keep_BnN, add_BnN), start_BN, dim=1)
        return torch.stack(states(before_BnN, b, a)[1:], 2), final_BN

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0], inputs[2], output[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        # Differentiable operators on kept inputs and results only, so gradients of gradients come out right.
        a_BnCN, start_BN, h_BnCN = ctx.saved_tensors
        g_BnCN, g_final_BN = gradients
        *a, last_a = a_BnCN.unbind(2)
        *g, last_g = g_BnCN.unbind(2)
        next_a = [last_a, *reversed(a[1:])]
        keep_BnN, G = last_a, last_g
        for g_c, a_c, a_n in zip(reversed(g), reversed(a), next_a, strict=True):
            keep_BnN = keep_BnN * a_c
            G = torch.addcmul(g_c, a_n, G)
        add_BnN = a[0] * G
        *after_BnN, first_BN = states(g_final_BN, add_BnN.unbind(1)[::-1], keep_BnN.unbind(1)[::-1])
        all_G = states(last_g + torch.stack(after_BnN[::-1], 1), g[::-1], next_a)
        db_BnCN = torch.stack(all_G[::-1], 2)
        da_BnCN = None
        if ctx.needs_input_grad[0]:
            previous = torch.cat([start_BN.unsqueeze(1), h_BnCN.flatten(1, 2)[:, :-1]], dim=1)
            da_BnCN = (db_BnCN * previous.view_as(db_BnCN)).sum_to_size(a_BnCN.shape)
        return da_BnCN, db_BnCN, first_BN if ctx.needs_input_grad[2] else None


def _after(state_BN: Tensor, keep_BN: Tensor, add_BN: Tensor) -> Tensor:
    return torch.addcmul(add_BN, keep_BN, state_BN)
