"""ETC: global and long tokens, four pieces of attention. Letters: see formulas.

Definition, cost and source: `seqcost.formulas.mixers.etc`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqcost.errors import BadSize
from seqcost.formulas.mixers import etc
from seqcost.layers.core.layer import Layer, check_features, check_keep
from seqcost.layers.core.open_length import cut, is_open
from seqcost.layers.core.state import State
from seqcost.layers.ops.block_attention import band_keys, band_mask, band_queries, band_tokens, whole_blocks
from seqcost.layers.ops.chunks import heads_first
from seqcost.layers.ops.relative_labels import distances, label_scores, labelled


class Etc(Layer):
    """See `seqcost.formulas.mixers.etc`. `keep` [B,T] is True for tokens that count as keys, False for padding.

    `sentences` [B,T] names for each token the global token that stands for its sentence (structured input): such pairs
    have a label of their own, and with `hard_g2l` a global token reads no other sentence.
    """

    Config = etc.Etc
    takes_keep = True

    def __init__(self, config: etc.Etc | None = None, /, **sizes: object) -> None:
        super().__init__(config, **sizes)
        m = self.config
        inner = m.H * m.K
        for name in etc.PROJECTIONS:
            ends = (inner, m.D) if name.startswith("output") else (m.D, inner)
            self.add_module(name, nn.Linear(*ends, bias=m.bias))
        self.memory = nn.Parameter(torch.randn(m.N, m.D))
        self.labels_long = nn.Parameter(torch.empty(m.labels, m.H, m.K))
        self.labels_global = nn.Parameter(torch.empty(m.labels, m.H, m.K))
        for table in (self.labels_long, self.labels_global):
            nn.init.trunc_normal_(table, std=0.5)
        self.label_biases_long = nn.Parameter(torch.zeros(m.labels, m.H))
        self.label_biases_global = nn.Parameter(torch.zeros(m.labels, m.H))

    def forward(self, x_BTD: Tensor, *, keep: Tensor | None = None, sentences: Tensor | None = None) -> Tensor:
        check_features(self, x_BTD)
        if keep is not None:
            check_keep(self, x_BTD, keep)
        B, T, _ = x_BTD.shape
        if T == 0:
            return x_BTD
        if is_open(T):
            x_BTD, keep = whole_blocks(x_BTD, keep, self.config.band)
            sentences = None if sentences is None else F.pad(sentences, (0, x_BTD.shape[1] - T), value=-1)
        g_BND = self.memory.expand(B, -1, -1).clone(memory_format=torch.contiguous_format)
        g_BND = g_BND + self._global_half(g_BND, x_BTD, keep, sentences)
        return cut(self._long_half(x_BTD, g_BND, keep, sentences), T)

    def both(
        self, x_BTD: Tensor, g_BND: Tensor, *, keep: Tensor | None = None, sentences: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The paper's layer: long and global tokens in, both out, each from what the other was before."""
        check_features(self, x_BTD)
        check_features(self, g_BND, "global tokens")
        return self._long_half(x_BTD, g_BND, keep, sentences), self._global_half(g_BND, x_BTD, keep, sentences)

    def _heads(self, name: str, x_BTD: Tensor) -> Tensor:
        return self.get_submodule(name)(x_BTD).unflatten(-1, (self.config.H, self.config.K))

    def _global_half(self, g: Tensor, x: Tensor, keep: Tensor | None, sentences: Tensor | None) -> Tensor:
        """Of the global tokens: one softmax over all global and all long ones."""
        m, (B, T, _), N = self.config, x.shape, g.shape[1]
        q_ZNK = heads_first(self._heads("query_global", g) * m.K**-0.5).flatten(0, 1)

        def keys(name: str) -> Tensor:
            both = [self._heads(f"{name}_g2g", g), self._heads(f"{name}_g2l", x)]
            if is_open(T):  # heads beside the batch first, while the number of tokens is a plain symbol
                return torch.cat([heads_first(z).flatten(0, 1) for z in both], dim=1)
            return torch.cat([z.transpose(1, 2) for z in both], dim=2).flatten(0, 1)

        k_ZSK, v_ZSK = keys("key"), keys("value")
        labels = distances(N, N, 0, T, m.R, device=x.device)
        mask = None
        if sentences is not None:
            own_BNT = sentences.unsqueeze(1) == torch.arange(N, device=x.device)[:, None]
            labels = torch.cat([labels[:, :N].expand(B, N, N), 2 * m.R + 1 + own_BNT.long()], -1)
            labels = labels.repeat_interleave(m.H, 0)
            if m.hard_g2l:
                mask = ~own_BNT
        if keep is not None:
            mask = ~keep.unsqueeze(1) if mask is None else mask | ~keep.unsqueeze(1)
        of_label = label_scores(q_ZNK, self.labels_global, self.label_biases_global)
        known = labelled(of_label, labels, B * m.H, N, N + T)
        scores_ZNS = torch.baddbmm(known, q_ZNK, k_ZSK.transpose(1, 2))
        if mask is not None:
            if is_open(T):
                hidden = F.pad(mask.repeat_interleave(m.H, 0), (N, 0))
                scores_ZNS = scores_ZNS.masked_fill(hidden, -torch.inf)
            else:
                hidden = F.pad(mask, (N, 0)).unsqueeze(1)
                scores_ZNS = scores_ZNS.unflatten(0, (B, m.H)).masked_fill(hidden, -torch.inf).flatten(0, 1)
        y_ZNK = torch.bmm(scores_ZNS.softmax(-1), v_ZSK)
        y_BNI = y_ZNK.view(B, m.H, N, m.K).transpose(1, 2).clone(memory_format=torch.contiguous_format)
        return self.get_submodule("output_global")(y_BNI.flatten(2))

    def _long_half(self, x: Tensor, g: Tensor, keep: Tensor | None, sentences: Tensor | None) -> Tensor:
        """Of the long tokens: one softmax over their window and all global ones."""
        m, band, (B, T, _), N = self.config, self.config.band, x.shape, g.shape[1]
        n, C, keys, Z, K = band.blocks(T), band.C, band.keys, B * m.H, m.K
        q_ZnCK = band_queries(self._heads("query_long", x) * K**-0.5, band, m.H)
        q_ZQK = q_ZnCK.view(Z, n * C, K)
        own_k, own_v = (
            band_keys(self._heads(f"{name}_l2l", x), band, T, copied=True).view(Z * n, keys, K)
            for name in ("key", "value")
        )
        side_k, side_v = (heads_first(self._heads(f"{name}_l2g", g)).view(Z, N, K) for name in ("key", "value"))
        l2l = torch.bmm(q_ZnCK.view(Z * n, C, K), own_k.transpose(1, 2)).view(Z, n, C, keys)
        l2g = torch.bmm(q_ZQK, side_k.transpose(1, 2)).view(Z, n, C, N)
        scores = torch.cat([l2l, l2g], dim=-1)
        labels = distances(C, keys, -band.side * C, N, m.R, device=x.device)
        if sentences is not None:
            own_BTN = sentences.unsqueeze(-1) == torch.arange(N, device=x.device)
            own = F.pad(2 * m.R + 1 + own_BTN.long(), (0, 0, 0, n * C - T)).view(B, n, C, N)
            labels = torch.cat([labels[:, :keys].expand(B, n, C, keys), own], -1).repeat_interleave(m.H, 0)
        of_label = label_scores(q_ZQK, self.labels_long, self.label_biases_long)
        scores = scores + labelled(of_label, labels, Z, n, C, keys + N)
        mask = F.pad(band_mask(band, T, T, like=x, keep_BS=keep), (0, N)).unsqueeze(1)
        mixed = (scores.view(B, m.H, n, C, keys + N) + mask).softmax(-1)
        in_window, in_side = mixed.flatten(0, 1).split([keys, N], dim=-1)
        y = torch.bmm(in_window.flatten(0, 1), own_v).view(Z, n * C, K)
        y = torch.baddbmm(y, in_side.flatten(1, 2), side_v).view(Z, n, C, K)
        return self.get_submodule("output_long")(band_tokens(y, band, B, T, m.H))

    def init_state(self, batch: int) -> State:
        raise BadSize("ETC sees the future (causal=False) and has no state; call it on the whole sequence.")

    def extend(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        self.init_state(x.shape[0])
        return x, state

    def reference(self, x_BTD: Tensor) -> Tensor:
        """The definition, one query and one head at a time."""
        g_BND = self.memory.expand(x_BTD.shape[0], -1, -1)
        g_BND = g_BND + self._read("global", g_BND, g_BND, x_BTD)
        return self._read("long", x_BTD, g_BND, x_BTD)

    def _read(self, kind: str, asking: Tensor, g_BND: Tensor, x_BTD: Tensor) -> Tensor:
        m, letter, R = self.config, kind[0], self.config.R
        q = self._heads(f"query_{kind}", asking)
        k, v = (
            torch.cat([self._heads(f"{name}_{letter}2g", g_BND), self._heads(f"{name}_{letter}2l", x_BTD)], dim=1)
            for name in ("key", "value")
        )
        tables = self.get_parameter(f"labels_{kind}"), self.get_parameter(f"label_biases_{kind}")
        N, T = g_BND.shape[1], x_BTD.shape[1]
        rows = []
        for i in range(asking.shape[1]):
            near = [j for j in range(T) if kind == "global" or abs(i - j) < m.band.reach]
            seen = [*range(N), *(N + j for j in near)]
            of_global = [min(max(j - i, -R), R) + R if kind == "global" else 2 * R + 1 for j in range(N)]
            of_long = [min(max(j - i, -R), R) + R if kind == "long" else 2 * R + 1 for j in near]
            a, u = (table[[*of_global, *of_long]] for table in tables)
            heads = []
            for h in range(m.H):
                scores_BS = (torch.einsum("bk,bsk->bs", q[:, i, h], k[:, seen, h] + a[:, h]) + u[:, h]) / m.K**0.5
                heads.append(torch.einsum("bs,bsk->bk", scores_BS.softmax(-1), v[:, seen, h]))
            rows.append(torch.cat(heads, dim=-1))
        return self.get_submodule(f"output_{kind}")(torch.stack(rows, dim=1))
