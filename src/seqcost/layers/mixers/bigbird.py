"""BigBird: global, window and random blocks. Letters: see formulas.

Definition, cost and source: `seqcost.formulas.mixers.bigbird`.
"""

import random
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.mixers import bigbird
from seqcost.layers.core.layer import Layer, check_features, check_keep
from seqcost.layers.core.open_length import refuse_open
from seqcost.layers.core.state import State
from seqcost.layers.core.transforms import uncompiled
from seqcost.layers.ops.block_attention import key_mask, planned_attention
from seqcost.layers.ops.masks import hidden

Plan = tuple[tuple[tuple[int, ...], ...], ...]  # head, block of queries (the second to the last but one), key blocks


@lru_cache(maxsize=64)
def random_blocks(blocks: int, heads: int, R: int, seed: int) -> Plan:
    """For each head and each block between the global ones: R blocks that are neither its neighbours nor global.

    Fewer where fewer are left. Drawn by a generator of their own, so that nothing else is reseeded or advanced.
    """
    draw = random.Random(f"{seed} {blocks} {R}")

    def of(i: int) -> tuple[int, ...]:
        left = [j for j in range(1, blocks - 1) if abs(i - j) > 1]
        return tuple(draw.sample(left, min(R, len(left))))

    return tuple(tuple(of(i) for i in range(1, blocks - 1)) for _ in range(heads))


@uncompiled
def looked_up(blocks: int, heads: int, R: int, seed: int) -> list[int]:
    """The plan as numbers, head · (blocks + 1) + block: for each head and each block i between the global ones.

    The first block, i − 1, i, i + 1, the last one, and the random ones. Number `blocks` of a head stands for none. Not
    compiled, since a compiler would see through the cache and draw anew.
    """
    out = []
    for head, rows in enumerate(random_blocks(blocks, heads, R, seed)):
        for i, drawn in enumerate(rows, start=1):
            before = i - 1 if i > 1 else blocks
            after = i + 1 if i < blocks - 2 else blocks
            none = (blocks,) * (R - len(drawn))
            own = (0, before, i, after, blocks - 1, *drawn, *none)
            out += [head * (blocks + 1) + j for j in own]
    return out


class BigBird(Layer):
    """See `seqcost.formulas.mixers.bigbird`. `keep` [B,T] is True for tokens that count as keys, False for padding."""

    Config = bigbird.BigBird
    takes_keep = True

    def __init__(self, config: bigbird.BigBird | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.query = nn.Linear(m.D, m.H * m.K, bias=m.bias)
        self.key = nn.Linear(m.D, m.H * m.K, bias=m.bias)
        self.value = nn.Linear(m.D, m.H * m.K, bias=m.bias)
        self.output = nn.Linear(m.H * m.K, m.D, bias=m.bias)

    def forward(self, x_BTD: Tensor, *, keep: Tensor | None = None) -> Tensor:
        check_features(self, x_BTD)
        if keep is not None:
            check_keep(self, x_BTD, keep)
        T = x_BTD.shape[1]
        if T == 0:
            return x_BTD
        refuse_open(T, "BigBird", "how many blocks there are decides which of them are drawn at random")
        q, k, v = self._projected(x_BTD)
        if keep is None:
            return self.output(self._attend(q, k, v, None))
        # The last block is global, and the random blocks depend on how many there are: each text has its own pattern.
        C, counted = self.config.C, keep * torch.arange(1, T + 1, device=keep.device)
        lengths = (-(-counted.amax(1) // C) * C).clamp(min(C, T), T).tolist()
        pieces, order = [], []
        for length in sorted(set(lengths)):
            rows = [i for i, own in enumerate(lengths) if own == length]
            y_bTI = self._attend(q[rows, :length], k[rows, :length], v[rows, :length], keep[rows, :length])
            pieces.append(F.pad(y_bTI, (0, 0, 0, T - length)))
            order += rows
        return self.output(torch.cat(pieces)[torch.tensor(order, device=x_BTD.device).argsort()])

    def _projected(self, x_BTD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        m = self.config
        q, k, v = (project(x_BTD).unflatten(-1, (m.H, m.K)) for project in (self.query, self.key, self.value))
        return q, k, v

    def _attend(self, q_BTHK: Tensor, k_BTHK: Tensor, v_BTHK: Tensor, keep: Tensor | None) -> Tensor:
        B, T, H, K = q_BTHK.shape
        m = self.config
        C, n = m.C, m.blocks(T)
        fill = (n + 1) * C - T
        q, k, v = (F.pad(z.transpose(1, 2), (0, 0, 0, fill)).view(B, H, n + 1, C, K) for z in (q_BTHK, k_BTHK, v_BTHK))
        masked_BT = F.pad(key_mask(T, keep, q), (0, fill), value=hidden(q.dtype))
        first, middle, last, _ = q.split([1, n - 2, 1, 1], dim=2)
        y_edges = F.scaled_dot_product_attention(
            torch.cat([first, last], dim=2).flatten(2, 3),
            k[:, :, :n].flatten(2, 3),
            v[:, :, :n].flatten(2, 3),
            attn_mask=masked_BT[:, None, None, : n * C],
        )
        at = torch.tensor(looked_up(n, m.H, m.R, m.seed), device=q.device)
        y_middle = planned_attention(middle, k, v, masked_BT.unflatten(1, (n + 1, C)), at)
        y_first, y_last = y_edges.unflatten(2, (2, C)).split(1, dim=2)
        tokens = [y.permute(0, 2, 3, 1, 4) for y in (y_first, y_middle.unflatten(1, (H, n - 2)), y_last)]
        y_BTI = torch.cat(tokens, dim=1).view(B, n * C, H * K).narrow(1, 0, T)
        return y_BTI.clone(memory_format=torch.contiguous_format)

    def init_state(self, batch: int) -> State:
        raise BadSize("BigBird sees the future (causal=False) and has no state; call it on the whole sequence.")

    def extend(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        self.init_state(x.shape[0])
        return x, state

    def sees(self, T: int) -> Tensor:
        """The pattern: True [H,T,T] where a query sees a key."""
        m = self.config
        n = m.blocks(T)
        blocks = torch.zeros(m.H, n, n + 1, dtype=torch.bool)
        blocks[:, [0, n - 1]] = True
        chosen = torch.tensor(looked_up(n, m.H, m.R, m.seed)).remainder(n + 1).view(m.H, n - 2, -1)
        blocks[:, 1:-1].scatter_(2, chosen, True)
        tokens = blocks[:, :, :n].repeat_interleave(m.C, 1).repeat_interleave(m.C, 2)
        return tokens[:, :T, :T]

    def reference(self, x_BTD: Tensor) -> Tensor:
        """One query at a time, one head at a time: softmax of its scores over what it sees, weighted sum of values."""
        m, T = self.config, x_BTD.shape[1]
        q, k, v = self._projected(x_BTD)
        sees, rows = self.sees(T), []
        for t in range(T):
            heads = []
            for h in range(m.H):
                seen = sees[h, t].nonzero().flatten()
                scores_BS = torch.einsum("bk,bsk->bs", q[:, t, h], k[:, seen, h]) / m.K**0.5
                heads.append(torch.einsum("bs,bsk->bk", scores_BS.softmax(-1), v[:, seen, h]))
            rows.append(torch.cat(heads, dim=-1))
        return self.output(torch.stack(rows, dim=1))
