"""Sliding-window attention, causal or symmetric, dilated or not. Letters: see formulas.

Definition, cost and source: `seqcost.formulas.mixers.window`.
"""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.mixers import window
from seqcost.layers.core.layer import Layer, check_features, check_keep
from seqcost.layers.core.open_length import cut, is_open, refuse_open
from seqcost.layers.core.state import State, empty
from seqcost.layers.ops.block_attention import band_attention, whole_blocks
from seqcost.layers.parts.rope import rope_frequency, rope_tables, rope_turn


@dataclasses.dataclass(frozen=True)
class Recent(State):
    """Keys and values [B,P,G,K] of the tokens that later ones may see, and how many tokens have passed.

    P grows to (W − 1)·dilation and stays there: the token itself comes with each step, so W − 1 earlier ones are all
    that a window needs.
    """

    k_BPGK: Tensor
    v_BPGK: Tensor
    tokens: int = 0


class WindowAttention(Layer):
    """See `seqcost.formulas.mixers.window`. `keep` [B,T] is True for tokens that count as keys, False for padding."""

    Config = window.WindowAttention
    frequency: Tensor
    takes_keep = True

    def __init__(self, config: window.WindowAttention | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.query = nn.Linear(m.D, m.H * m.K, bias=m.bias)
        self.key = nn.Linear(m.D, m.G * m.K, bias=m.bias)
        self.value = nn.Linear(m.D, m.G * m.K, bias=m.bias)
        self.output = nn.Linear(m.H * m.K, m.D, bias=m.bias)
        self.make_constants()

    def constants(self) -> dict[str, Tensor | None]:
        m = self.config
        return {"frequency": rope_frequency(m.K, m.rope_base, self.query.weight.device)} if m.rope else {}

    def forward(self, x_BTD: Tensor, *, keep: Tensor | None = None) -> Tensor:
        check_features(self, x_BTD)
        if keep is not None:
            check_keep(self, x_BTD, keep)
        T, band = x_BTD.shape[1], self.config.band
        if T == 0:
            return x_BTD
        if is_open(T):
            x_BTD, keep = whole_blocks(x_BTD, keep, band)
        return cut(self.output(band_attention(*self._projected(x_BTD, past=0), band, keep)), T)

    def init_state(self, batch: int) -> Recent:
        m = self.config
        if not m.causal:
            raise BadSize(
                "window attention with causal=False sees the future and has no state; call it on the whole sequence."
            )
        weight = self.key.weight
        return Recent(empty(batch, 0, m.G, m.K, like=weight), empty(batch, 0, m.G, m.K, like=weight))

    def extend(self, x_BTD: Tensor, state: Recent) -> tuple[Tensor, Recent]:
        check_features(self, x_BTD)
        T, kept = x_BTD.shape[1], self.config.kept_tokens
        if T == 0:
            return x_BTD, state
        refuse_open(T, "window attention's extend", "the blocks begin where the tokens kept from before end")
        q, k, v = self._projected(x_BTD, past=state.tokens)
        k, v = torch.cat([state.k_BPGK, k], dim=1), torch.cat([state.v_BPGK, v], dim=1)
        # Copied, so that the state does not hold the memory of a long prompt.
        new_k, new_v = (z[:, max(z.shape[1] - kept, 0) :].clone(memory_format=torch.contiguous_format) for z in (k, v))
        return self.output(band_attention(q, k, v, self.config.band)), Recent(new_k, new_v, state.tokens + T)

    def step(self, x_BD: Tensor, state: Recent) -> tuple[Tensor, Recent]:
        x_BTD, m = x_BD.unsqueeze(1), self.config
        check_features(self, x_BTD)
        q, k, v = self._projected(x_BTD, past=state.tokens)
        k, v = torch.cat([state.k_BPGK, k], dim=1), torch.cat([state.v_BPGK, v], dim=1)
        first = (k.shape[1] - 1) % m.dilation
        y_BH1K = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k[:, first :: m.dilation].transpose(1, 2),
            v[:, first :: m.dilation].transpose(1, 2),
            enable_gqa=m.G != m.H,
        )
        drop = max(k.shape[1] - m.kept_tokens, 0)
        return self.output(y_BH1K.flatten(1)), Recent(k[:, drop:], v[:, drop:], state.tokens + 1)

    def _projected(self, x_BTD: Tensor, *, past: int) -> tuple[Tensor, Tensor, Tensor]:
        m = self.config
        q_BTHK = self.query(x_BTD).unflatten(-1, (m.H, m.K))
        k_BTGK, v_BTGK = self.key(x_BTD).unflatten(-1, (m.G, m.K)), self.value(x_BTD).unflatten(-1, (m.G, m.K))
        if m.rope:
            cos, sin = rope_tables(past, x_BTD.shape[1], self.frequency, x_BTD)
            q_BTHK, k_BTGK = rope_turn(q_BTHK, cos, sin), rope_turn(k_BTGK, cos, sin)
        return q_BTHK, k_BTGK, v_BTGK

    def sees(self, t: int, T: int) -> list[int]:
        """The tokens among T that token t sees, in their order."""
        m = self.config
        after = 0 if m.causal else m.reach - 1
        around = (t + m.dilation * step for step in range(1 - m.reach, after + 1))
        return [s for s in around if 0 <= s < T]

    def reference(self, x_BTD: Tensor) -> Tensor:
        """One query at a time, one head at a time: softmax of its scores, weighted sum of the values."""
        m, T = self.config, x_BTD.shape[1]
        q, k, v = self._projected(x_BTD, past=0)
        rows = []
        for t in range(T):
            seen, heads = self.sees(t, T), []
            for h in range(m.H):
                g = h // (m.H // m.G)
                scores_BS = torch.einsum("bk,bsk->bs", q[:, t, h], k[:, seen, g]) / m.K**0.5
                heads.append(torch.einsum("bs,bsk->bk", scores_BS.softmax(-1), v[:, seen, g]))
            rows.append(torch.cat(heads, dim=-1))
        return self.output(torch.stack(rows, dim=1))
