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
from seqcost.formulas.core.component import check_sizes
from seqcost.formulas.core.program import Program
from seqcost.formulas.core.tape import Tape
from seqcost.formulas.core.values import Value
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
class Etc(Program):
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
            weights[f"labels_{side}"] = (self.labels * inner, f"a: a vector a label, for queries of {side} tokens")
            weights[f"label_biases_{side}"] = (self.labels * self.H, "u: a number a label and head")
        return Bill.of(Kind.PARAMETERS, **weights)

    def pairs(self, T: Size) -> Size:
        """Query-key pairs that the pattern holds among T long tokens and N global ones, a head and a sequence."""
        m = minimum(self.band.reach, T)
        return T * (2 * m - 1) - m * (m - 1) + 2 * T * self.N + self.N * self.N

    def executed_pairs(self, T: Size) -> Size:
        """Query-key pairs that are multiplied, a head and a sequence."""
        tokens = self.band.blocks(T) * self.C
        return tokens * (self.band.keys + self.N) + self.N * (self.N + T)

    def program(self, t: Tape, x: Value, source: Value | None) -> Value:
        B, N, D = x.shape[0], self.N, self.D
        g = t.moved("memory", [t.expand("memory", t.weight(N, D), B, N, D)], B, N, D, note="for each sequence")
        g = t.add("global_residual", g, self._global_half(t, g, x), note="what the global tokens have read")
        return self._long_half(t, x, g)

    def _heads(self, t: Tape, name: str, x: Value) -> Value:
        B, T = x.shape[:2]
        note = PROJECTIONS[name]
        return t.view(t.linear(name, x, self.H * self.K, bias=self.bias, note=note), B, T, self.H, self.K)

    def _global_half(self, t: Tape, g: Value, x: Value) -> Value:
        """Of the global tokens: one softmax over all global and all long ones."""
        B, T = x.shape[:2]
        H, K, N, Z = self.H, self.K, self.N, x.shape[0] * self.H

        def keys(name: str) -> Value:
            both = [self._heads(t, f"{name}_g2g", g), self._heads(t, f"{name}_g2l", x)]
            return t.moved(f"global_{name}s", both, Z, N + T, K, note="of global and long tokens, heads first")

        q = t.unary("global_scale", self._heads(t, "query_global", g), "scale", note="q/√K")
        q = t.moved("global_queries", [q], Z, N, K, note="heads first")
        k, v = keys("key"), keys("value")
        labels = distances(t, "global_labels", N, N, T)
        of_label = label_scores(t, "global_label", q, B, H, self.labels)
        known = labelled(t, "global_label_scores", of_label, labels, Z, N, N + T)
        scores = t.add_matmul("global_scores", known, q, t.view(k, Z, K, N + T), note="q (k + a) + u: g2g and g2l")
        y = t.matmul("global_mix", t.softmax("global_softmax", scores), v, note="a [N,N+T] @ v")
        y = t.moved("global_merge", [y], B, N, H * K, note="heads to tokens")
        return t.linear("output_global", y, self.D, bias=self.bias, note=PROJECTIONS["output_global"])

    def _long_half(self, t: Tape, x: Value, g: Value) -> Value:
        """Of the long tokens: one softmax over their window and all global ones."""
        band, (B, T) = self.band, x.shape[:2]
        H, K, N, Z = self.H, self.K, self.N, x.shape[0] * self.H
        n, C, keys = band.blocks(T), band.C, band.keys
        q = t.unary("long_scale", self._heads(t, "query_long", x), "scale", note="q/√K")
        q = band_queries(t, "long_queries", q, band, H, 1)
        windows, side = {}, {}
        for name in ("key", "value"):
            own = band_keys(t, f"long_{name}", self._heads(t, f"{name}_l2l", x), band, T, copied=True)
            windows[name] = t.view(own, Z * n, keys, K)
            side[name] = t.moved(f"side_{name}", [self._heads(t, f"{name}_l2g", g)], Z, N, K, note="heads first")
        flat = t.view(q, Z, n * C, K)
        l2l = t.matmul("l2l_scores", t.view(q, Z * n, C, K), t.view(windows["key"], Z * n, K, keys), note="in a window")
        l2g = t.matmul("l2g_scores", flat, t.view(side["key"], Z, K, N), note="of all global tokens")
        scores = t.moved("long_scores", [l2l, l2g], Z, n, C, keys + N, note="side by side")
        labels = distances(t, "long_labels", C, keys, N)
        of_label = label_scores(t, "long_label", flat, B, H, self.labels)
        known = labelled(t, "long_label_scores", of_label, labels, Z, n, C, keys + N)
        scores = t.add("long_labelled", scores, known, note="q (k + a) + u")
        mask = t.moved("mask", [band_mask(t, band, T, T)], n, C, keys + N, note="global tokens are always seen")
        mixed = t.softmax("long_softmax", t.add("long_masked", scores, mask, note="out of the window: −∞"))
        in_window, in_side = t.parts(mixed, (Z, n, C, keys), (Z, n, C, N))
        y = t.matmul("l2l_mix", t.view(in_window, Z * n, C, keys), windows["value"], note="in a window")
        y = t.add_matmul(
            "l2g_mix", t.view(y, Z, n * C, K), t.view(in_side, Z, n * C, N), side["value"], note="of all global tokens"
        )
        y = band_tokens(t, y, band, B, T, H * K)
        return t.linear("output_long", y, self.D, bias=self.bias, note=PROJECTIONS["output_long"])

    def path_length(self, run: Workload) -> Bill:
        return Bill.of(Kind.PATH, attend=(2, "by way of a global token"))
