"""Test-time training: a small model per head that takes a step of gradient descent on every token it reads.

Sun et al. 2024, arXiv 2407.04620. The inner model f is one affine layer, or several with GELU (tanh) between. Token j
asks it to reconstruct v − k from k: loss l_j = ½‖LN(f(k_j)) − (v_j − k_j)‖². Within a mini-batch of C tokens all
gradients are taken at its first weights W, so token i answers with the weights

    W_i = W − t_i · Σ_{j ≤ i} r_j ∇l_j(W),     y_i = q_i + LN(f(q_i; W_i)),

t a rate of each place in the mini-batch, r one of each token. Two forms of the same:

  dual      a whole mini-batch at once; ∇l_j is an outer product X_jᵀ g_j, so no W_i is ever made:
            h W_i + b_i = h W + b − Σ_{j ≤ i} t_i r_j (h·X_j + 1) g_j
  primal    one token; carries W and the sum S = Σ r_j ∇l_j since the mini-batch began, and makes W_i

All is written out of elementary operators, so autograd differentiates through the inner gradients.
Letters: Z = B·H · n mini-batches · C tokens of one · K head width · X, Y in and out of an affine layer.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from seqcost.layers.core.full_precision import full_precision
from seqcost.layers.core.open_length import Tensors, Turn, walk

# gelu_tanh(x) = ½·x·(1 + tanh(u)) = x·σ(2u), 2u = x·(SLOPE + BEND·x²)
SLOPE = 2 * math.sqrt(2 / math.pi)
BEND = 0.044715 * SLOPE

Inner = list[tuple[Tensor, Tensor]]  # W [Z,X,Y] and b [Z,1,Y] of each layer of f
Seen = list[tuple[Tensor, Tensor]]  # what each layer read [Z,C,X] and the gradient of its result [Z,C,Y]


class Tokens(NamedTuple):
    """What the inner model needs of n mini-batches of C tokens."""

    q_ZnCK: Tensor
    k_ZnCK: Tensor
    offset_ZnCK: Tensor  # (β − (v − k)) ⊙ γ
    rate_ZnC1: Tensor  # r; 0 for what only fills up


class Rule(NamedTuple):
    """What all mini-batches have in common."""

    scale_Z1K: Tensor  # γ²
    fall_C: Tensor  # −t of the places that the tokens take
    epsilon: float


@full_precision
def mini_batches(inner: Inner, tokens: Tokens, rule: Rule) -> tuple[Tensor, Inner, Seen]:
    """Whole mini-batches one after the other, each in the dual form.

    Returns
    -------
        Answers [Z,n,C,K]; the inner model at the beginning of the last mini-batch, and the gradients in it.

    """
    weights_ZnCC, first_ZnCC = _pair_weights(tokens, rule)
    ends_ZnC1 = tokens.rate_ZnC1 * rule.fall_C[-1:]
    seen: Seen = []
    answers = []
    ends = ends_ZnC1.unbind(1)
    for i, (q, k, offset, weights, first) in enumerate(
        zip(*(x.unbind(1) for x in (*tokens[:3], weights_ZnCC, first_ZnCC)), strict=True)
    ):
        if i:
            inner = add_gradients(inner, seen, ends[i - 1])
        seen = descend(inner, k, offset, rule)
        answers.append(_answer_dual(inner, seen, q, weights, first))
    return torch.stack(answers, dim=1), inner, seen


@full_precision
def open_mini_batches(inner: Inner, tokens: Tokens, rule: Rule) -> Tensor:
    """The answers of `mini_batches` while an exporter leaves open how many there are."""
    weights_ZnCC, first_ZnCC = _pair_weights(tokens, rule)
    ends_ZnC1 = tokens.rate_ZnC1 * rule.fall_C[-1:]

    def mini_batch(carry: Tensors, piece: Tensors) -> Turn:
        begun = list(zip(carry[::2], carry[1::2], strict=True))
        q, k, offset, weights, first, end = piece
        seen = descend(begun, k, offset, rule)
        after = add_gradients(begun, seen, end)
        return tuple(x for pair in after for x in pair), (_answer_dual(begun, seen, q, weights, first),)

    flat = tuple(x for pair in inner for x in pair)
    _, (y_ZnCK,) = walk(mini_batch, flat, (*tokens[:3], weights_ZnCC, first_ZnCC, ends_ZnC1), dim=1)
    return y_ZnCK


@full_precision
def part_of_mini_batch(inner: Inner, sums: Inner, tokens: Tokens, rule: Rule) -> tuple[Tensor, Inner]:
    """Further tokens of a mini-batch that has begun (n = 1), in the dual form: answers [Z,1,C,K] and the new sums."""
    weights_ZnCC, first_ZnCC = _pair_weights(tokens, rule)
    q, k, offset, rate, weights, first = (
        x.squeeze(1)
        for x in (tokens.q_ZnCK, tokens.k_ZnCK, tokens.offset_ZnCK, tokens.rate_ZnC1, weights_ZnCC, first_ZnCC)
    )
    seen = descend(inner, k, offset, rule)
    y = _answer_dual(inner, seen, q, weights, first, (sums, rule.fall_C.unsqueeze(1)))
    return y.unsqueeze(1), add_gradients(sums, seen, rate)


@full_precision
def one_token(inner: Inner, sums: Inner, tokens: Tokens, rule: Rule, *, first: bool) -> tuple[Tensor, Inner, Inner]:
    """One token (n = C = 1) in the primal form; the `first` of a mini-batch does not look at the sums.

    Returns
    -------
        Its answer [Z,1,1,K]; the sums with its gradient; the inner model that answered.

    """
    q, k, offset, rate = (x.squeeze(1) for x in tokens)
    sums = add_gradients(sums, descend(inner, k, offset, rule), rate, beta=0.0 if first else 1.0)
    inner = fallen(inner, sums, rule.fall_C)
    h = q
    for i, (W, b) in enumerate(inner):
        h = torch.baddbmm(b, F.gelu(h, approximate="tanh") if i else h, W)
    return h.unsqueeze(1), sums, inner


def descend(inner: Inner, k_ZCK: Tensor, offset_ZCK: Tensor, rule: Rule) -> Seen:
    """The gradients of the tokens' losses at one set of weights, as the pairs whose outer products they are."""
    read, slopes, h = [], [], k_ZCK
    for i, (W, b) in enumerate(inner):
        if i:
            h, slope = gelu_and_slope(h)
            slopes.append(slope)
        read.append(h)
        h = torch.baddbmm(b, h, W)
    gradients = [reconstruction_gradient(h, offset_ZCK, rule)]
    for (W, _), slope in zip(inner[:0:-1], slopes[::-1], strict=True):
        gradients.append(torch.bmm(gradients[-1], W.transpose(1, 2)) * slope)
    return list(zip(read, gradients[::-1], strict=True))


def reconstruction_gradient(z_ZCK: Tensor, offset_ZCK: Tensor, rule: Rule) -> Tensor:
    """dl/dz of ½‖γ ẑ + β − (v − k)‖², ẑ the normalised z."""
    centred = z_ZCK - z_ZCK.mean(-1, keepdim=True)
    deviation = (centred.square().mean(-1, keepdim=True) + rule.epsilon).rsqrt()
    normal = centred * deviation
    g = normal * rule.scale_Z1K + offset_ZCK  # dl/dẑ
    along = (g * normal).mean(-1, keepdim=True)
    return (g - g.mean(-1, keepdim=True) - normal * along) * deviation


def gelu_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
    """GELU (tanh) and its derivative, which share a sigmoid."""
    square = x.square()
    gate = (x * (square * BEND + SLOPE)).sigmoid()
    y = x * gate
    return y, (y - y * gate) * (square * (3 * BEND) + SLOPE) + gate


def add_gradients(base: Inner, seen: Seen, rate_ZC1: Tensor, beta: float = 1.0) -> Inner:
    """β·base + Σ_j rate_j ∇l_j; with β = 0 what stands in the base is not looked at."""
    row_Z1C = rate_ZC1.transpose(1, 2)
    return [
        (torch.baddbmm(W, _rated(read, rate_ZC1), g, beta=beta), torch.baddbmm(b, row_Z1C, g, beta=beta))
        for (W, b), (read, g) in zip(base, seen, strict=True)
    ]


@full_precision
def sum_gradients(seen: Seen, rate_ZC1: Tensor) -> Inner:
    """Σ_j rate_j ∇l_j."""
    row_Z1C = rate_ZC1.transpose(1, 2)
    return [(torch.bmm(_rated(read, rate_ZC1), g), torch.bmm(row_Z1C, g)) for read, g in seen]


def _rated(read_ZCX: Tensor, rate_ZC1: Tensor) -> Tensor:
    return (read_ZCX * rate_ZC1).transpose(1, 2)


def fallen(inner: Inner, sums: Inner, fall_1: Tensor) -> Inner:
    """W − t S: the weights at one place of the mini-batch."""
    return [
        (torch.addcmul(W, S, fall_1), torch.addcmul(b, s, fall_1)) for (W, b), (S, s) in zip(inner, sums, strict=True)
    ]


def _pair_weights(tokens: Tokens, rule: Rule) -> tuple[Tensor, Tensor]:
    """−t_i r_j for j ≤ i, else 0, and the same times q_i·k_j + 1: the first layer's do not wait for the inner model."""
    Z, n, C, K = tokens.q_ZnCK.shape
    weights_ZnCC = (tokens.rate_ZnC1.transpose(2, 3) * rule.fall_C.unsqueeze(1)).tril()
    scores = torch.bmm(tokens.q_ZnCK.view(Z * n, C, K), tokens.k_ZnCK.view(Z * n, C, K).transpose(1, 2))
    return weights_ZnCC, (scores.view(Z, n, C, C) + 1) * weights_ZnCC


def _answer_dual(
    inner: Inner,
    seen: Seen,
    q_ZCK: Tensor,
    weights_ZCC: Tensor,
    first_ZCC: Tensor,
    begun: tuple[Inner, Tensor] | None = None,
) -> Tensor:
    """f(q_i; W_i) of every token; `begun` holds the sums of earlier tokens of the mini-batch, and −t [C,1]."""
    h, share = q_ZCK, first_ZCC
    for i, ((W, b), (read, g)) in enumerate(zip(inner, seen, strict=True)):
        if i:
            h = F.gelu(h, approximate="tanh")
            share = (torch.bmm(h, read.transpose(1, 2)) + 1) * weights_ZCC
        z = torch.baddbmm(b, h, W)
        if begun is not None:
            sums, fall_C1 = begun
            S, s = sums[i]
            z = torch.addcmul(z, torch.baddbmm(s, h, S), fall_C1)
        h = torch.baddbmm(z, share, g)
    return h
