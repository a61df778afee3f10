"""Sequences cut into chunks of C tokens, the last one filled up with zeros."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.layers.core.open_length import Tensors, Turn, cut, num_chunks, walk


def chunked(x_BTHK: Tensor, C: int) -> Tensor:
    """[B,T,H,K] → [B·H, n, C, K], the last chunk filled up with zeros."""
    B, T, H, K = x_BTHK.shape
    n = num_chunks(T, C)
    filled = F.pad(x_BTHK, (0, 0, 0, 0, 0, n * C - T))
    return heads_first(filled).view(B * H, n, C, K)


def heads_first(x_BTHK: Tensor) -> Tensor:
    """[B,T,H,K] → [B,H,T,K]: always a copy, so that its cost has no exceptions."""
    return x_BTHK.transpose(1, 2).clone(memory_format=torch.contiguous_format)


def joined(y_ZnCV: Tensor, B: int, T: int, H: int) -> Tensor:
    """[B·H, n, C, V] → [B,T,H,V] without what was filled up: a copy."""
    _, n, C, V = y_ZnCV.shape
    return cut(y_ZnCV.view(B, H, n * C, V).transpose(1, 2), T).clone(memory_format=torch.contiguous_format)


def carried(after: Callable[..., Tensor], pieces: Tensors, state: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """From chunk to chunk, `state = after(state, *piece)`: the states before each, along an axis, and the last one."""

    def chunk(before: Tensors, piece: Tensors) -> Turn:
        return (after(*before, *piece),), before

    (last,), (before,) = walk(chunk, (state,), pieces, dim)
    return before, last


def states(start: Tensor, added: Sequence[Tensor], kept: Sequence[Tensor]) -> list[Tensor]:
    """The start, and after each of what is added `state = added + kept ⊙ state`."""
    found = [start]
    for a, k in zip(added, kept, strict=True):
        found.append(torch.addcmul(a, k, found[-1]))
    return found


def pair_decays(log_ZnC1: Tensor) -> Tensor:
    """[Z,n,C,C]: in row j and column i ≥ j the product of the decays of the tokens after j up to i; 0 below.

    Each sum is made of its own terms: a difference of two long sums would lose what follows a strong decay.
    """
    C = log_ZnC1.shape[2]
    return log_ZnC1.transpose(2, 3).expand(-1, -1, C, C).triu(1).cumsum(-1).exp().triu()


def at_least_float32(x: Tensor) -> Tensor:
    """In float32 where the dtype is narrower."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
