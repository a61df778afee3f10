"""Multi-head, grouped-query and multi-query attention; self or cross; materialised or fused. Letters: see formulas.

B batch · T queries · S keys · H query heads · G key/value heads · K, V their widths. Query head h reads key head
h // (H/G). Definition, cost and source: `seqcost.formulas.mixers.attention`.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.mixers import attention
from seqcost.layers.core.layer import Layer, check_features, check_keep, places
from seqcost.layers.core.open_length import is_open
from seqcost.layers.core.state import State, empty
from seqcost.layers.ops.masks import hidden
from seqcost.layers.parts.rope import rope_frequency, rope_tables, rope_turn


@dataclasses.dataclass(frozen=True)
class Cache(State):
    """Keys [B,P,G,K] and values [B,P,G,V] of the tokens seen.

    Cross-attention: of the whole source, with its mask [B,S] where the source is padded.
    """

    k_BPGK: Tensor
    v_BPGV: Tensor
    keep_BP: Tensor | None = None


class Attention(Layer):
    """See `seqcost.formulas.mixers.attention`.

    `keep` [B,T] is True for tokens that count as keys and False for padding; cross-attention takes `keep_source` [B,S].
    """

    Config = attention.Attention
    frequency: Tensor

    def __init__(self, config: attention.Attention | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.takes_source, self.takes_keep = m.cross, not m.cross
        self.query = nn.Linear(m.D, m.H * m.K, bias=m.bias)
        self.key = nn.Linear(m.D, m.G * m.K, bias=m.bias)
        self.value = nn.Linear(m.D, m.G * m.V, bias=m.bias)
        self.output = nn.Linear(m.H * m.V, m.D, bias=m.bias)
        self.make_constants()

    def constants(self) -> dict[str, Tensor | None]:
        m = self.config
        return {"frequency": rope_frequency(m.K, m.rope_base, self.query.weight.device)} if m.rope else {}

    def forward(
        self,
        x_BTD: Tensor,
        source: Tensor | None = None,
        *,
        keep: Tensor | None = None,
        keep_source: Tensor | None = None,
    ) -> Tensor:
        check_features(self, x_BTD)
        if self.config.cross:
            k, v = self._keys_values(self._checked_source(source, x_BTD.shape[0]))
            return self._attend(self._queries(x_BTD), k, v, past=0, keep=keep_source)
        if keep is not None:
            check_keep(self, x_BTD, keep)
        q, k, v = self._turned(x_BTD, past=0, keep=keep)
        return self._attend(q, k, v, past=0, keep=keep)

    def init_state(self, batch: int, source: Tensor | None = None, *, keep_source: Tensor | None = None) -> Cache:
        m = self.config
        if m.cross:
            return Cache(*self._keys_values(self._checked_source(source, batch)), keep_source)
        if not m.causal:
            raise BadSize(
                "attention with causal=False sees the future and has no state; call it on the whole sequence."
            )
        weight = self.key.weight
        return Cache(empty(batch, 0, m.G, m.K, like=weight), empty(batch, 0, m.G, m.V, like=weight))

    def extend(self, x_BTD: Tensor, state: Cache) -> tuple[Tensor, Cache]:
        check_features(self, x_BTD)
        if self.config.cross:
            q_BTHK = self._queries(x_BTD)
            k_BPGK, v_BPGV = (z.to(q_BTHK.dtype) for z in (state.k_BPGK, state.v_BPGV))  # autocast may have ended
            return self._attend(q_BTHK, k_BPGK, v_BPGV, past=0, keep=state.keep_BP), state
        past = state.k_BPGK.shape[1]
        q, k, v = self._turned(x_BTD, past=past)
        if past:
            k, v = torch.cat([state.k_BPGK, k], dim=1), torch.cat([state.v_BPGV, v], dim=1)
        return self._attend(q, k, v, past=past, keep=None), Cache(k, v)

    def _checked_source(self, source: Tensor | None, batch: int) -> Tensor:
        if source is None:
            raise BadSize("cross-attention needs a source; call m(x, source) and init_state(batch, source).")
        check_features(self, source, "source")
        if source.shape[0] != batch:
            raise BadSize(
                f"cross-attention: a source of {source.shape[0]} sequences was given for a batch of {batch}; "
                "give one source a sequence."
            )
        return source

    def _queries(self, x_BTD: Tensor) -> Tensor:
        return self.query(x_BTD).unflatten(-1, (self.config.H, self.config.K))

    def _keys_values(self, x_BSD: Tensor) -> tuple[Tensor, Tensor]:
        m = self.config
        return self.key(x_BSD).unflatten(-1, (m.G, m.K)), self.value(x_BSD).unflatten(-1, (m.G, m.V))

    def _turned(self, x_BTD: Tensor, *, past: int, keep: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of new tokens, rotated to their positions where RoPE is on; padding has none."""
        q_BTHK, (k_BTGK, v_BTGV) = self._queries(x_BTD), self._keys_values(x_BTD)
        if self.config.rope:
            cos, sin = rope_tables(past, x_BTD.shape[1], self.frequency, x_BTD)
            if keep is not None:
                cos, sin = cos[places(keep)], sin[places(keep)]
            q_BTHK, k_BTGK = rope_turn(q_BTHK, cos, sin), rope_turn(k_BTGK, cos, sin)
        return q_BTHK, k_BTGK, v_BTGV

    def _attend(self, q_BTHK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor, *, past: int, keep: Tensor | None) -> Tensor:
        T, S = q_BTHK.shape[1], k_BSGK.shape[1]
        causal = self.config.causal and T > 1
        if self.config.implementation == "fused":
            # The kernel's own mask is aligned top-left: right only where no past shifts the diagonal.
            own = causal and not past and keep is None
            mask = None if own else _mask(q_BTHK, S, past if causal else None, keep)
            y_BTHV = F.scaled_dot_product_attention(
                q_BTHK.transpose(1, 2),
                k_BSGK.transpose(1, 2),
                v_BSGV.transpose(1, 2),
                attn_mask=mask,
                is_causal=own,
                enable_gqa=self.config.G != self.config.H,
            ).transpose(1, 2)
        else:
            y_BTHV = _materialised(q_BTHK, k_BSGK, v_BSGV, _mask(q_BTHK, S, past if causal else None, keep))
        return self.output(y_BTHV.flatten(2))

    def reference(self, x_BTD: Tensor, source: Tensor | None = None) -> Tensor:
        """One query at a time, one head at a time: softmax of its scores, weighted sum of the values."""
        m = self.config
        if m.cross:
            assert source is not None
            q, (k, v) = self._queries(x_BTD), self._keys_values(source)
        else:
            q, k, v = self._turned(x_BTD, past=0)
        rows = []
        for t in range(x_BTD.shape[1]):
            seen = t + 1 if m.causal else k.shape[1]
            heads = []
            for h in range(m.H):
                g = h // (m.H // m.G)
                scores_BS = torch.einsum("bk,bsk->bs", q[:, t, h], k[:, :seen, g]) / m.K**0.5
                heads.append(torch.einsum("bs,bsv->bv", scores_BS.softmax(-1), v[:, :seen, g]))
            rows.append(torch.cat(heads, dim=-1))
        return self.output(torch.stack(rows, dim=1))

    def example_inputs(self, B: int, T: int, S: int | None = None) -> tuple[Tensor, ...]:
        x = super().example_inputs(B, T)
        return x + super().example_inputs(B, T if S is None else S) if self.config.cross else x


def _mask(q_BTHK: Tensor, S: int, past: int | None, keep: Tensor | None) -> Tensor | None:
    """0 where a query may see a key, −∞ for later keys: [T,S], or [B,1,T,S] with padding. None where all is seen."""
    mask = None
    if past is not None:
        mask = torch.full((q_BTHK.shape[1], S), -torch.inf, dtype=q_BTHK.dtype, device=q_BTHK.device).triu_(1 + past)
    if keep is None:
        return mask
    # Not −∞: NaN of a query that sees padding only (a padded one) would reach all others through the next layer.
    least = hidden(q_BTHK.dtype)
    padding = torch.zeros(keep.shape, dtype=q_BTHK.dtype, device=q_BTHK.device).masked_fill_(~keep, least)
    return padding[:, None, None] if mask is None else padding[:, None, None] + mask


def _materialised(q_BTHK: Tensor, k_BSGK: Tensor, v_BSGV: Tensor, mask: Tensor | None) -> Tensor:
    """Scores and softmax in memory. Query heads of a group stand one below the other: keys are not repeated."""
    B, T, H, K = q_BTHK.shape
    if is_open(T):  # an exporter cannot tell that queries so placed lie in one piece
        k_BSGK, v_BSGV = (z.repeat_interleave(H // z.shape[2], dim=2) for z in (k_BSGK, v_BSGV))
    S, G, V = v_BSGV.shape[1:]
    q_ZQK = _heads_first(q_BTHK * K**-0.5).view(B * G, H // G * T, K)
    k_ZSK = _heads_first(k_BSGK).view(B * G, S, K)
    v_ZSV = _heads_first(v_BSGV).view(B * G, S, V)
    scores_ZQS = torch.bmm(q_ZQK, k_ZSK.transpose(1, 2))
    if mask is not None and mask.dim() == 2:
        # In place, and not through a view: the gradient of that would be copied six times.
        scores_ZQS += mask if H == G else mask.repeat(H // G, 1)
    scores_BHTS = scores_ZQS.view(B, H, T, S)
    if mask is not None and mask.dim() == 4:
        scores_BHTS = scores_BHTS + mask
    y_ZQV = torch.bmm(scores_BHTS.softmax(-1).view(B * G, H // G * T, S), v_ZSV)
    return y_ZQV.view(B, H, T, V).transpose(1, 2).clone(memory_format=torch.contiguous_format)


def _heads_first(x_BTHK: Tensor) -> Tensor:
    # Always a copy, one-token and one-head inputs too: the cost is then a formula without exceptions.
    return x_BTHK.transpose(1, 2).clone(memory_format=torch.contiguous_format)
