"""RETRO's chunked cross-attention over given neighbours. Letters: see formulas."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.mixers import retro
from seqcost.layers.core.layer import Layer, check_features
from seqcost.layers.core.open_length import cut, is_open, num_chunks
from seqcost.layers.core.state import State
from seqcost.layers.ops.masks import hidden


@dataclasses.dataclass(frozen=True)
class Neighbours(State):
    """Keys and values [B,S,H·K] of the neighbours of chunks `first`, `first` + 1 …, and how many tokens have passed.

    `keep_BS` is False where a neighbour is padded; None where none is.
    """

    k_BSI: Tensor
    v_BSI: Tensor
    keep_BS: Tensor | None = None
    tokens: int = 0
    first: int = 0


class ChunkedCrossAttention(Layer):
    """See `seqcost.formulas.mixers.retro`.

    The source [B,S,D] holds the neighbours' features chunk by chunk, J·R rows each; `keep_source` [B,S] is False for
    their padding. Decoding, `retrieved` hands in the neighbours of the chunks that have been completed meanwhile.
    """

    Config = retro.ChunkedCrossAttention
    takes_source = True

    def __init__(self, config: retro.ChunkedCrossAttention | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        self.query = nn.Linear(m.D, m.H * m.K, bias=False)
        self.key = nn.Linear(m.D, m.H * m.K, bias=False)
        self.value = nn.Linear(m.D, m.H * m.K, bias=False)
        self.output = nn.Linear(m.H * m.K, m.D, bias=False)

    def forward(self, x_BTD: Tensor, source: Tensor | None = None, *, keep_source: Tensor | None = None) -> Tensor:
        check_features(self, x_BTD)
        return self.extend(x_BTD, self.init_state(x_BTD.shape[0], source, keep_source=keep_source))[0]

    def init_state(self, batch: int, source: Tensor | None = None, *, keep_source: Tensor | None = None) -> Neighbours:
        if source is None:
            raise BadSize("chunked cross-attention needs a source; call m(x, source) and init_state(batch, source).")
        check_features(self, source, "source")
        if source.shape[0] != batch or source.shape[1] % self.config.rows:
            raise BadSize(
                f"chunked cross-attention: a source of shape {tuple(source.shape)} was given for a batch of {batch}; "
                f"give each sequence J·R = {self.config.rows} tokens of neighbours a chunk."
            )
        v_BSI = self.value(source)
        if keep_source is not None:
            v_BSI = v_BSI.masked_fill(~keep_source[..., None], 0)  # a chunk of nothing but padding gives 0
        return Neighbours(self.key(source), v_BSI, keep_source)

    def retrieved(self, state: Neighbours, source: Tensor, *, keep_source: Tensor | None = None) -> Neighbours:
        """The state with the neighbours of further chunks, and without those that no later token reads."""
        new = self.init_state(source.shape[0], source, keep_source=keep_source)
        if (state.keep_BS is None) != (new.keep_BS is None) and state.k_BSI.shape[1]:
            raise BadSize(
                "chunked cross-attention: a mask was given for some neighbours only; give it for all or none."
            )
        passed = max(self._chunk(state.tokens) - state.first, 0)
        rows = passed * self.config.rows
        keep = new.keep_BS
        if keep is not None and state.keep_BS is not None:
            keep = torch.cat([state.keep_BS[:, rows:], keep], dim=1)
        k_BSI = torch.cat([state.k_BSI[:, rows:], new.k_BSI], dim=1)
        v_BSI = torch.cat([state.v_BSI[:, rows:], new.v_BSI], dim=1)
        return Neighbours(k_BSI, v_BSI, keep, state.tokens, state.first + passed)

    def extend(self, x_BTD: Tensor, state: Neighbours) -> tuple[Tensor, Neighbours]:
        check_features(self, x_BTD)
        m, T = self.config, x_BTD.shape[1]
        after = dataclasses.replace(state, tokens=state.tokens + T)
        if T == 0:
            return x_BTD, after
        before = (state.tokens + 1) % m.C
        blocks = num_chunks(T, m.C) if is_open(T) else m.blocks(T)
        q_BQI = F.pad(self.query(x_BTD), (0, 0, before, blocks * m.C - before - T))
        y_BQI = self._attend(q_BQI, state, blocks)
        y_BTI = cut(y_BQI[:, before:], T).clone(memory_format=torch.contiguous_format)
        return self.output(y_BTI), after

    def step(self, x_BD: Tensor, state: Neighbours) -> tuple[Tensor, Neighbours]:
        check_features(self, x_BD.unsqueeze(1))
        y_BQI = self._attend(self.query(x_BD).unsqueeze(1), state, blocks=1)
        return self.output(y_BQI.squeeze(1)), dataclasses.replace(state, tokens=state.tokens + 1)

    def _chunk(self, position: int) -> int:
        """The chunk whose neighbours the token at a position reads; −1 before the first chunk is complete."""
        return (position + 1) // self.config.C - 1

    def _attend(self, q_BQI: Tensor, state: Neighbours, blocks: int) -> Tensor:
        """Each of the blocks, Q/blocks queries long, attends to the neighbours of its chunk."""
        m, (B, Q, I) = self.config, q_BQI.shape

        def of_blocks(x_BSI: Tensor) -> Tensor:
            """The rows of these blocks; zeros for a block that has none."""
            return _rows(x_BSI, self._chunk(state.tokens) - state.first, blocks, m.rows)

        def heads(x_BSI: Tensor) -> Tensor:
            return x_BSI.view(B * blocks, x_BSI.shape[1] // blocks, m.H, m.K).transpose(1, 2)

        mask = None
        if state.keep_BS is not None:
            # Not −∞: a block of nothing but padding then gets its values, which are 0.
            kept = of_blocks(state.keep_BS[..., None].to(q_BQI.dtype)).view(B * blocks, 1, 1, m.rows)
            mask = torch.zeros_like(kept).masked_fill(kept == 0, hidden(q_BQI.dtype))
        k, v = (of_blocks(z).to(q_BQI.dtype) for z in (state.k_BSI, state.v_BSI))  # autocast may have ended
        y = F.scaled_dot_product_attention(heads(q_BQI), heads(k), heads(v), attn_mask=mask)
        return y.transpose(1, 2).reshape(B, Q, I)

    def reference(self, x_BTD: Tensor, source: Tensor | None = None) -> Tensor:
        """One token at a time, one head at a time, over the neighbours of its chunk."""
        assert source is not None
        m = self.config
        q, k, v = (
            f(s).unflatten(-1, (m.H, m.K)) for f, s in ((self.query, x_BTD), (self.key, source), (self.value, source))
        )
        tokens = []
        for t in range(x_BTD.shape[1]):
            u = self._chunk(t)
            rows = slice(u * m.rows, (u + 1) * m.rows)
            if u < 0 or rows.stop > source.shape[1]:
                tokens.append(torch.zeros_like(x_BTD[:, t]))
                continue
            heads = []
            for h in range(m.H):
                scores_BS = torch.einsum("bk,bsk->bs", q[:, t, h], k[:, rows, h]) / m.K**0.5
                heads.append(torch.einsum("bs,bsk->bk", scores_BS.softmax(-1), v[:, rows, h]))
            tokens.append(self.output(torch.cat(heads, dim=-1)))
        return torch.stack(tokens, dim=1)

    def example_inputs(self, B: int, T: int, S: int | None = None) -> tuple[Tensor, ...]:
        tokens = self.config.source_tokens(T) if S is None else self.config.whole(S)
        return super().example_inputs(B, T) + super().example_inputs(B, tokens)


def _rows(x_BSI: Tensor, first: int, blocks: int, rows: int) -> Tensor:
    """Those of `blocks` chunks from chunk `first` on, which may be −1: zeros for a chunk that is not there."""
    if is_open(blocks):  # padded with less than nothing where there are more
        return F.pad(x_BSI, (0, 0, -first * rows, (first + blocks) * rows - x_BSI.shape[1]))
    given = x_BSI.shape[1] // rows
    begin = min(max(first, 0), given)
    end = max(min(first + blocks, given), begin)
    before = min(begin - first, blocks) if end > begin else blocks
    return F.pad(x_BSI[:, begin * rows : end * rows], (0, 0, before * rows, (blocks - before - end + begin) * rows))
