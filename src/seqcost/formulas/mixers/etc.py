"""ETC: long tokens that see their neighbours, and a few global tokens that see, and are seen by, everything.

Attention falls into four pieces: long to long (l2l, a window), long to global (l2g), global to global (g2g) and global
to long (g2l), each with key and value projections of its own; a row has one softmax over both of its pieces. Scores
carry a learned vector and a bias for the label of a pair: the distance of two tokens of one kind, clipped at R on
either side, and for a pair of a global and a long token whether the one stands for the other's sentence.

The paper's layer takes two sequences and gives two. Here a layer takes one: its N global tokens are a learned table,
which first reads the sequence (g2g and g2l, around a residual connection) and is then read by it (l2l and l2g). Every
piece is executed once, as in the paper, where the long tokens of the next layer read what the global tokens of this one
have read; the layer's `both` is the paper's, both halves at once on two sequences.
"""

from dataclasses import dataclass
from typing import ClassVar

from seqcost.algebra import Bill, Kind, Size, ceil_div, minimum
from seqcost.errors import BadSize
from seqcost.formulas.core.component import Component, check_sizes
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import ONE, Value
from seqcost.formulas.core.workload import Workload
from seqcost.formulas.ops.block_attention import Band, band_keys, band_mask, band_queries, band_tokens
from seqcost.formulas.ops.relative_labels import distances, label_scores, labelled
from seqcost.formulas.parts.heads import fill_heads

PROJECTIONS = {
    "query_long": "W_q of long tokens",
    "query_global": "W_q of global tokens",
    "key_l2l": "W_k of long tokens, for long ones",
    "key_l2g": "W_k of global tokens, for long ones",
    "key_g2g": "W_k of global tokens, for global ones",
    "key_g2l": "W_k of long tokens, for global ones",
    "value_l2l": "W_v of long tokens, for long ones",
    "value_l2g": "W_v of global tokens, for long ones",
    "value_g2g": "W_v of global tokens, for global ones",
    "value_g2l": "W_v of long tokens, for global ones",
    "output_long": "W_o of long tokens",
    "output_global": "W_o of global tokens",
}


@dataclass(frozen=True, kw_only=True)
class Etc(Component):
    """Global-local attention with relative labels; sees both ways.

    D width · H heads · K head width (default D/H) · W window of the long tokens, the token itself included (the paper's
    2r + 1) · C queries a block (default: half of W) · N global tokens · R distance at which labels are clipped.
    `hard_g2l`: where sentences are given, a global token reads its own sentence only.
    """

    SOURCE: ClassVar[str] = (
        "Ainslie et al. 2020, arXiv 2004.08483, section 3; github.com/google-research/google-research, "
        "etcmodel/layers/attention.py (label biases, blocks of r + 1)"
    )
    EQUATIONS: ClassVar[tuple[str, ...]] = (
        r"e_{ij} = \frac{x_i W_q \cdot (x_j W_k + a_{l(i,j)}) + u_{l(i,j)}}{\sqrt{K}},\quad "
        r"z_i = \sum_{j \in \mathcal{N}(i)} \mathrm{softmax}_j(e_{ij})\, x_j W_v\, W_o",
        r"\mathcal{N}(\text{global}) = \text{all},\quad"
        r"\mathcal{N}(\text{long } i) = \text{all global} \cup \{\text{long } j : |i - j| \le (W-1)/2\}",
        r"g \leftarrow g + z^{\text{global}}(g, x),\quad y = z^{\text{long}}(x, g)",
    )

    D: Size
    H: Size
    W: Size
    N: Size
    K: Size = None
    C: Size = None
    R: Size = 12
    hard_g2l: bool = False
    bias: bool = True  # on every projection

    def __post_init__(self) -> None:
        check_sizes(self, "D", "H", "W", "N", "R")
        if isinstance(self.W, int) and self.W < 3:
            raise BadSize(
                f"Etc: W = {self.W} was given, the token itself included; at least 3 is allowed, one on either side."
            )
        fill_heads(self)
        if self.C is None:
            object.__setattr__(self, "C", self.band.reach)
        check_sizes(self, "C")

    @property
    def band(self) -> Band:
        """The window of the long tokens as the blocks see it."""
        return Band(ceil_div(self.W, 2), self.C, causal=False)

    @property
    def labels(self) -> Size:
        """Labels of a pair: 2·R + 1 distances, another sentence, the own sentence."""
        return 2 * self.R + 3

    @property
    def decodes(self) -> bool:
        return False

    def params(self) -> Bill:
        D, inner = self.D, self.H * self.K
        weights: dict[str, tuple[Size, str]] = {"memory": (self.N * D, "the global tokens before they have read")}
        for name, note in PROJECTIONS.items():
            weights[name] = (D * inner, note)
            if self.bias:
                weights[f"{name}_bias"] = (D if name.startswith("output") else inner, "")
        for side in ("long", "global"):
            weights[f"labels_{side}"] = (self.labels * inner, f"a: one vector per label, for queries of {side} tokens")
            weights[f"label_biases_{side}"] = (self.labels * self.H, "u: one number per label and head")
        return Bill.of(Kind.PARAMETERS, **weights)

    def pairs(self, T: Size) -> Size:
        """Query-key pairs that the pattern holds among T long tokens and N global ones, a head and a sequence."""
        m = minimum(self.band.reach, T)
        return T * (2 * m - 1) - m * (m - 1) + 2 * T * self.N + self.N * self.N

    def executed_pairs(self, T: Size) -> Size:
        """Query-key pairs that are multiplied, a head and a sequence."""
        tokens = self.band.blocks(T) * self.C
        return tokens * (self.band.keys + self.N) + self.N * (self.N + T)

    def program(self, t: Tape, x: Value, source: Value | None = None) -> Value:
        B, N, D = x.shape[0], self.N, self.D
        memory = t.expand("memory", t.weight(N, D), B, N, D)
        g = t.copy("memory", memory, note="for each sequence")
        g = t.add("global_residual", g, self._global_half(t, g, x), note="what the global tokens have read")
        y = self._long_half(t, x, g)
        return t.part(y, *y.shape, name="whole")

    def _heads(self, t: Tape, name: str, x: Value) -> Value:
        B, T = x.shape[:2]
        note = PROJECTIONS[name]
        return t.view(t.linear(name, x, self.H * self.K, bias=self.bias, note=note), B, T, self.H, self.K)

    def _scaled(self, t: Tape, name: str, x: Value) -> Value:
        return t.unary(f"scale_{name}", self._heads(t, f"query_{name}", x), "scale", note="q/√K")

    def _global_half(self, t: Tape, g: Value, x: Value) -> Value:
        """Of the global tokens: one softmax over all global and all long ones."""
        B, T = x.shape[:2]
        H, K, N, Z = self.H, self.K, self.N, x.shape[0] * self.H
        q = t.copy("global_queries", t.transpose(self._scaled(t, "global", g), 0, 2, 1, 3), note="heads first")
        q = t.view(q, Z, N, K)

        def keys(name: str) -> Value:
            both = [self._heads(t, f"{name}_g2g", g), self._heads(t, f"{name}_g2l", x)]
            joined = t.cat(
                f"global_{name}s", [t.transpose(z, 0, 2, 1, 3) for z in both], B, H, N + T, K,
                note="of global and long tokens, heads first",
            )  # fmt: skip
            return t.view(joined, Z, N + T, K)

        k, v = keys("key"), keys("value")
        labels = distances(t, "global_labels", N, N, T)
        of_label = label_scores(t, "global_label", q, B, H, self.labels)
        known = labelled(t, "global_label_scores", of_label, labels, Z, N, N + T)
        scores = t.add_matmul("global_scores", known, q, t.swapped(k), note="q (k + a) + u")
        y = t.matmul("global_mix", t.softmax("global_softmax", scores), v, note="a [N,N+T] @ v [N+T,K]")
        heads = t.transpose(t.view(y, B, H, N, K), 0, 2, 1, 3)
        merged = t.copy("global_merge_heads", heads, note="[B,H,N,K] to [B,N,H·K]")
        note = PROJECTIONS["output_global"]
        return t.linear("output_global", t.view(merged, B, N, H * K), self.D, bias=self.bias, note=note)

    def _long_half(self, t: Tape, x: Value, g: Value) -> Value:
        """Of the long tokens: one softmax over their window and all global ones."""
        band, (B, T, _), H, K, N = self.band, x.shape, self.H, self.K, self.N
        n, C, keys, Z = band.blocks(T), band.C, band.keys, B * H
        q = band_queries(t, "long_queries", self._scaled(t, "long", x), band, H)
        flat = t.view(q, Z, n * C, K)
        own_k, own_v = (
            t.view(band_keys(t, f"long_{name}", self._heads(t, f"{name}_l2l", x), band, T, copied=True), Z * n, keys, K)
            for name in ("key", "value")
        )
        side_k, side_v = (
            t.view(
                t.copy(
                    f"side_{name}", t.transpose(self._heads(t, f"{name}_l2g", g), 0, 2, 1, 3), note="heads first"
                ), Z, N, K,
            )
            for name in ("key", "value")
        )  # fmt: skip
        l2l = t.matmul("l2l_scores", t.view(q, Z * n, C, K), t.swapped(own_k), note="in a window")
        l2l = t.view(l2l, Z, n, C, keys)
        l2g = t.view(t.matmul("l2g_scores", flat, t.swapped(side_k), note="of all global tokens"), Z, n, C, N)
        scores = t.cat("long_scores", [l2l, l2g], Z, n, C, keys + N, note="side by side")
        labels = distances(t, "long_labels", C, keys, N)
        of_label = label_scores(t, "long_label", flat, B, H, self.labels)
        scores = t.add(
            "long_labelled", scores, labelled(t, "long_label_scores", of_label, labels, Z, n, C, keys + N),
            note="q (k + a) + u",
        )  # fmt: skip
        mask = t.pad("mask", band_mask(t, band, T, T), ONE, n, C, keys + N, note="global tokens are always seen")
        mask = t.view(mask, ONE, ONE, n, C, keys + N)
        mixed = t.softmax(
            "long_softmax",
            t.add("long_masked", t.view(scores, B, H, n, C, keys + N), mask, note="out of the window: −∞"),
        )
        in_window, in_side = t.parts(t.view(mixed, Z, n, C, keys + N), (Z, n, C, keys), (Z, n, C, N), name="long_split")
        y = t.view(t.matmul("l2l_mix", t.view(in_window, Z * n, C, keys), own_v, note="in a window"), Z, n * C, K)
        y = t.add_matmul("l2g_mix", y, t.view(in_side, Z, n * C, N), side_v, note="of all global tokens")
        y = t.view(y, Z, n, C, K)
        note = PROJECTIONS["output_long"]
        return t.linear("output_long", band_tokens(t, y, band, B, T, H), self.D, bias=self.bias, note=note)

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, attend=(2, "by way of a global token"))
