"""LSH attention of Reformer. Definition, cost and source: `seqcost.formulas.mixers.lsh`.

B batch · T tokens · S all tokens so far · H heads · K, V widths of query and value heads · R rounds · E buckets.
"""

import dataclasses

import torch
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.mixers import lsh
from seqcost.layers.core.layer import Layer, check_features, check_keep
from seqcost.layers.core.state import State, empty
from seqcost.layers.ops.lsh import bucket_attention, hashed, latest, normalised, read_latest, to_itself


@dataclasses.dataclass(frozen=True)
class Hashed(State):
    """Queries [B,S,H,K], which are the keys too, values [B,S,H,V] and buckets [B,H,R,S] of the tokens seen."""

    q_BSHK: Tensor
    v_BSHV: Tensor
    buckets_BHRS: Tensor

    def and_then(self, other: "Hashed") -> "Hashed":
        """These tokens and then the other ones."""
        return Hashed(
            torch.cat([self.q_BSHK, other.q_BSHK], dim=1),
            torch.cat([self.v_BSHV, other.v_BSHV], dim=1),
            torch.cat([self.buckets_BHRS, other.buckets_BHRS], dim=3),
        )


class LshAttention(Layer):
    """See `seqcost.formulas.mixers.lsh`.

    `keep` [B,T] is False for padding, which stands in a bucket of its own behind all others. A bucket is the outcome of
    a comparison: rounding can change it, and with it what a token reads, so bfloat16 is not float32 but for rounding.
    """

    Config = lsh.LshAttention
    takes_keep = True
    rotations: Tensor

    def __init__(self, config: lsh.LshAttention | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.query_key = nn.Linear(m.D, m.H * m.K, bias=False)
        self.value = nn.Linear(m.D, m.H * m.V, bias=False)
        self.output = nn.Linear(m.H * m.V, m.D, bias=False)
        drawn = torch.randn(m.H, m.K, m.R * m.axes, generator=torch.Generator().manual_seed(m.seed), device="cpu")
        self.register_buffer("rotations", drawn.to(self.output.weight))

    def forward(self, x_BTD: Tensor, *, keep: Tensor | None = None) -> Tensor:
        check_features(self, x_BTD)
        if keep is not None:
            check_keep(self, x_BTD, keep)
        tokens = self._hashed(x_BTD)
        if keep is not None:
            buckets = tokens.buckets_BHRS.masked_fill(~keep[:, None, None, :], self.config.E)
            tokens = dataclasses.replace(tokens, buckets_BHRS=buckets)
        return self._attend(tokens, past=0)

    def init_state(self, batch: int) -> Hashed:
        m = self.config
        if not m.causal:
            raise BadSize(
                "LSH attention with causal=False sees the future and has no state; call it on the whole sequence."
            )
        if not m.aligned:
            raise BadSize(
                "LSH attention with reach='chunk' has no state, because later tokens move its chunks; call it on the "
                "whole sequence, or choose reach='bucket'."
            )
        weight = self.value.weight
        buckets = torch.zeros(batch, m.H, m.R, 0, dtype=torch.long, device=weight.device)
        return Hashed(empty(batch, 0, m.H, m.K, like=weight), empty(batch, 0, m.H, m.V, like=weight), buckets)

    def extend(self, x_BTD: Tensor, state: Hashed) -> tuple[Tensor, Hashed]:
        check_features(self, x_BTD)
        past, tokens = state.q_BSHK.shape[1], self._hashed(x_BTD)
        if past:
            tokens = state.and_then(tokens)
        return self._attend(tokens, past=past), tokens

    def step(self, x_BD: Tensor, state: Hashed) -> tuple[Tensor, Hashed]:
        x_BTD = x_BD.unsqueeze(1)
        check_features(self, x_BTD)
        new = self._hashed(x_BTD)
        state = state.and_then(new)
        found_BHW = latest(state.buckets_BHRS, self.config.C)
        return self.output(read_latest(new.q_BSHK, state.q_BSHK, state.v_BSHV, found_BHW)), state

    def buckets(self, x_BTD: Tensor) -> Tensor:
        """In which bucket each token is: [B,H,R,T]."""
        return self._hashed(x_BTD).buckets_BHRS

    def _hashed(self, x_BTD: Tensor) -> Hashed:
        m = self.config
        q_BTHK = self.query_key(x_BTD).unflatten(-1, (m.H, m.K))
        v_BTHV = self.value(x_BTD).unflatten(-1, (m.H, m.V))
        return Hashed(q_BTHK, v_BTHV, hashed(q_BTHK, self.rotations, m.R))

    def _attend(self, tokens: Hashed, past: int) -> Tensor:
        m = self.config
        q, v, buckets = tokens.q_BSHK, tokens.v_BSHV, tokens.buckets_BHRS
        if q.shape[1] == past:
            return self.output(v[:, past:].flatten(2))
        y_BTHV = bucket_attention(q, v, buckets, C=m.C, aligned=m.aligned, causal=m.causal, past=past)
        return self.output(y_BTHV.flatten(2))

    def reference(self, x_BTD: Tensor) -> Tensor:
        """One softmax a token, over all that any round puts within its reach."""
        tokens = self._hashed(x_BTD)
        q_BTHK, v_BTHV = tokens.q_BSHK, tokens.v_BSHV
        k_BTHK = normalised(q_BTHK)
        rows = []
        for i in range(x_BTD.shape[1]):
            reached_BHT = self._reached(tokens.buckets_BHRS, i).any(2)
            scores_BHT = torch.einsum("bhk,bjhk->bhj", q_BTHK[:, i], k_BTHK)
            scores_BHT = scores_BHT.masked_fill(~reached_BHT, -torch.inf)
            itself = torch.arange(x_BTD.shape[1], device=x_BTD.device) == i
            weights = (scores_BHT - to_itself(scores_BHT.dtype) * itself.to(scores_BHT.dtype)).softmax(-1)
            rows.append(torch.einsum("bhj,bjhv->bhv", weights, v_BTHV).flatten(1))
        return self.output(torch.stack(rows, dim=1))

    def _reached(self, buckets_BHRT: Tensor, i: int) -> Tensor:
        """P_i of each round: [B,H,R,T]."""
        m, T = self.config, buckets_BHRT.shape[-1]
        alike = buckets_BHRT == buckets_BHRT[..., i : i + 1]
        earlier = torch.arange(T, device=alike.device) <= i
        if m.aligned:
            alike = alike & earlier
            after = alike.flip(-1).cumsum(-1).flip(-1) - 1  # how many of the bucket stand between j and i, i included
            return alike & (after <= m.C)
        chunk = buckets_BHRT.argsort(dim=-1, stable=True).argsort(dim=-1).div(m.C, rounding_mode="floor")
        back = chunk[..., i : i + 1] - chunk
        near = alike & (back >= 0) & (back <= 1)
        return near & earlier if m.causal else near
